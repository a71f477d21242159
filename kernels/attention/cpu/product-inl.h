// The micro-kernel: small products of packed tiles. Included once per target.
#if defined(FOVEA_ATTENTION_PRODUCT_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_ATTENTION_PRODUCT_INL_H
#undef FOVEA_ATTENTION_PRODUCT_INL_H
#else
#define FOVEA_ATTENTION_PRODUCT_INL_H
#endif

#include <algorithm>

#include "kernels/attention/cpu/ahead.h"
#include "kernels/simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {

/// How A lies in memory: element (m, k) at a[m * a_stride + k], or at a[k * a_stride + m].
enum class Lies { along_rows, along_columns };
/// How B does: packed, or rows of numbers as memory has them (Tiles::load_across).
enum class Across { packed, rows };

using flash::kRowBlock;
/// As many as the registers hold beside two vectors of B: 32 of them, or 16.
constexpr int kRows = hn::MaxLanes(F32()) == 16 ? 8 : 4;

/// C (M, N) = or += A (M, K) B (K, N), all counted in elements; N as product_columns() gives it, rows of C
/// aligned. C is f32. Where `depth` is given, depth[i] is the part of K that counts for rows [i * kRowBlock,
/// (i + 1) * kRowBlock): the rest of A is zeros there.
///
/// An element of A and B is four bytes: one f32, or a pair of bf16 that lie side by side along the sum
/// (Tiles::kWidth numbers). They are passed on as floats, and never computed with as such.
struct Product {
  int64 M, N, K;
  const float* a;
  int64 a_stride;
  const float* b;
  int64 b_stride;
  float* c;
  int64 c_stride;
  bool accumulate;
  const Range* depth = nullptr;
};

/// What a product is made for: how A and B lie, and whether each step asks for lines.
template <Lies kLiesOfA, Across kAcrossOfB = Across::packed, bool kAsksAhead = false>
struct Kind {
  static constexpr Lies kLies = kLiesOfA;
  static constexpr Across kAcross = kAcrossOfB;
  static constexpr bool kAsks = kAsksAhead;
};

/// Steps of a product, with a line of keys and values asked for in each as long as some are left. What is
/// tested and counted between asking and computing costs: it is one number, and the end of a row ends the
/// loop.
template <class Step>
HWY_INLINE void step_asking(flash::Ahead& ahead, int64 steps, Step step) {
  while (steps > 0) {
    const std::byte *k = ahead.k, *v = ahead.v;
    int64 lines = ahead.row_left, run = ahead.last_row() ? steps : std::min(steps, lines);
    steps -= run;
#pragma GCC unroll 1
    for (; run > 0; --run) {
      if (lines > 0) {
        __builtin_prefetch(k, 0, 2);  // into the second-level cache: the first is in use
        __builtin_prefetch(v, 0, 2);
        k += flash::kLine;
        v += flash::kLine;
        --lines;
      }
      step();
    }
    ahead.advance(k, v, lines);
  }
}

/// MR x NR vectors of C in registers: each vector of B serves MR times, each broadcast of A NR times. D:
/// whole vectors, or halves.
template <class Tiles, class Kind, class D, int MR, int NR>
HWY_INLINE void multiply_block(const Product& p, int64 m, int64 n, Range k, flash::Ahead& ahead) {
  const D d;
  using V = hn::Vec<D>;
  constexpr int64 L = hn::MaxLanes(d);
  V acc[MR][NR];
  float* c = p.c + m * p.c_stride + n;
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < NR; ++j)
      acc[i][j] = p.accumulate ? hn::Load(d, c + i * p.c_stride + j * L) : hn::Zero(d);
  const int64 stride = p.a_stride;
  constexpr bool kAlongRows = Kind::kLies == Lies::along_rows, kPacked = Kind::kAcross == Across::packed;
  const float* a = kAlongRows ? p.a + m * stride + k.begin : p.a + k.begin * stride + m;
  const float* b = p.b + k.begin * p.b_stride + (kPacked ? n : n / Tiles::kWidth);
  const auto step = [&]() HWY_ATTR __attribute__((always_inline)) {
    V bv[NR];
    if constexpr (kPacked) {
#pragma GCC unroll 4
      for (int j = 0; j < NR; ++j) bv[j] = hn::LoadU(d, b + j * L);
    } else {
      Tiles::load_across(b, p.b_stride / Tiles::kWidth, bv);
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const V av = hn::Set(d, kAlongRows ? a[i * stride] : a[i]);
#pragma GCC unroll 4
      for (int j = 0; j < NR; ++j) acc[i][j] = Tiles::multiply_add(av, bv[j], acc[i][j]);
    }
    a += kAlongRows ? 1 : stride;
    b += p.b_stride;
  };
  if constexpr (Kind::kAsks)
    step_asking(ahead, k.size(), step);
  else
    for (int64 left = k.size(); left > 0; --left) step();
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < NR; ++j) hn::Store(acc[i][j], d, c + i * p.c_stride + j * L);
}

/// Columns [n, n + NR vectors) of C.
template <class Tiles, class Kind, class D, int NR>
HWY_INLINE void multiply_columns(const Product& p, int64 n, flash::Ahead& ahead) {
  for (int64 block = 0; block < p.M; block += kRowBlock) {
    const Range k = p.depth ? p.depth[block / kRowBlock] : Range{0, p.K};
    const int64 end = std::min(p.M, block + kRowBlock);
    int64 m = block;
    for (; m + kRows <= end; m += kRows) multiply_block<Tiles, Kind, D, kRows, NR>(p, m, n, k, ahead);
    if (m + 4 <= end) {
      multiply_block<Tiles, Kind, D, 4, NR>(p, m, n, k, ahead);
      m += 4;
    }
    for (; m < end; ++m) multiply_block<Tiles, Kind, D, 1, NR>(p, m, n, k, ahead);
  }
}

/// Columns that a product makes for so many: whole vectors, or one half of a wide one, which wide processors
/// multiply in half the time.
HWY_INLINE int64 product_columns(int64 n) {
  constexpr int64 L = hn::MaxLanes(F32());
  return L >= 8 && n <= L / 2 ? L / 2 : round_up(n, L);
}

/// f(tag, first column) for whole vectors of so many columns, and for the half that may be left.
template <class F>
HWY_INLINE void for_each_vector_of(int64 columns, F f) {
  constexpr int64 L = hn::MaxLanes(F32());
  int64 n = 0;
  for (; n + L <= columns; n += L) f(F32(), n);
#if HWY_TARGET != HWY_SCALAR
  if constexpr (L >= 8)
    if (n < columns) f(hn::Half<F32>(), n);
#endif
}

template <class Tiles, class Kind>
HWY_INLINE void multiply_all(const Product& p, flash::Ahead& ahead) {
  constexpr int64 L = hn::MaxLanes(F32());
  int64 n = 0;
  for (; n + 2 * L <= p.N; n += 2 * L) multiply_columns<Tiles, Kind, F32, 2>(p, n, ahead);
  for (; n + L <= p.N; n += L) multiply_columns<Tiles, Kind, F32, 1>(p, n, ahead);
#if HWY_TARGET != HWY_SCALAR
  if constexpr (L >= 8 && Kind::kAcross == Across::packed)
    if (n < p.N) multiply_columns<Tiles, Kind, hn::Half<F32>, 1>(p, n, ahead);
#endif
}

template <class Tiles, Lies kLies>
HWY_NOINLINE void multiply(const Product& p) {
  flash::Ahead none;
  multiply_all<Tiles, Kind<kLies>>(p, none);
}
/// Lines are asked for on the way, if any are left.
template <class Tiles, Lies kLies, Across kAcross = Across::packed>
HWY_NOINLINE void multiply(const Product& p, flash::Ahead& asked) {
  flash::Ahead ahead = asked;  // in registers
  if (ahead.left == 0) return multiply_all<Tiles, Kind<kLies, kAcross>>(p, ahead);
  multiply_all<Tiles, Kind<kLies, kAcross, true>>(p, ahead);
  asked = ahead;
}

}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FOVEA_ATTENTION_PRODUCT_INL_H
