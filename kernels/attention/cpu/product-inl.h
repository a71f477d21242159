// The micro-kernel: small products of packed tiles. Included once per target.
#if defined(FOVEA_ATTENTION_PRODUCT_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_ATTENTION_PRODUCT_INL_H
#undef FOVEA_ATTENTION_PRODUCT_INL_H
#else
#define FOVEA_ATTENTION_PRODUCT_INL_H
#endif

#include <algorithm>

#include "kernels/attention/cpu/tiles.h"
#include "kernels/simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {

/// How A lies in memory: element (m, k) at a[m * a_stride + k], or at a[k * a_stride + m].
enum class Lies { along_rows, along_columns };

/// Rows of C that one run of the micro-kernel makes.
constexpr int64 kRowBlock = 8;
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
  /// Where kAhead: memory that is asked for on the way, so many lines for each block of rows.
  struct Lines {
    const std::byte* at = nullptr;
    int64 count = 0;
  } ahead[2] = {};
};

/// The lines that rows [m, m + kRows) ask for, in the first pass over the columns.
template <bool kAhead>
struct AheadOf {
  AheadOf(const Product&, int64, int64) {}
};
template <>
struct AheadOf<true> {
  Product::Lines lines[2];
  AheadOf(const Product& p, int64 m, int64 n) {
    for (int i = 0; i < 2; ++i) {
      const int64 each = n > 0 ? 0 : ceil_div(p.ahead[i].count * kRows, kRowBlock),
                  before = each * (m / kRows);
      lines[i] = {p.ahead[i].at + before * flash::kLine, each};
    }
  }
  HWY_INLINE void ask() {
    Product::Lines& next = lines[0].count > 0 ? lines[0] : lines[1];
    if (next.count <= 0) return;
    __builtin_prefetch(next.at, 0, 2);
    next.at += flash::kLine;
    --next.count;
  }
};

/// MR x NR vectors of C in registers: each vector of B serves MR times, each broadcast of A NR times. D:
/// whole vectors, or halves.
template <class Tiles, class D, int MR, int NR, Lies kLies, bool kAhead>
HWY_INLINE void multiply_block(const Product& p, int64 m, int64 n, Range k) {
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
  const float* a = kLies == Lies::along_rows ? p.a + m * stride + k.begin : p.a + k.begin * stride + m;
  const float* b = p.b + k.begin * p.b_stride + n;
  [[maybe_unused]] AheadOf<kAhead> ahead(p, m, n);
  for (int64 left = k.size(); left > 0; --left) {
    if constexpr (kAhead) {
      // One by one: many at once would wait for memory, and the product with them.
      ahead.ask();
    }
    V bv[NR];
#pragma GCC unroll 4
    for (int j = 0; j < NR; ++j) bv[j] = hn::LoadU(d, b + j * L);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const V av = hn::Set(d, kLies == Lies::along_rows ? a[i * stride] : a[i]);
#pragma GCC unroll 4
      for (int j = 0; j < NR; ++j) acc[i][j] = Tiles::multiply_add(av, bv[j], acc[i][j]);
    }
    a += kLies == Lies::along_rows ? 1 : stride;
    b += p.b_stride;
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < NR; ++j) hn::Store(acc[i][j], d, c + i * p.c_stride + j * L);
}

/// Columns [n, n + NR vectors) of C.
template <class Tiles, class D, int NR, Lies kLies, bool kAhead>
HWY_INLINE void multiply_columns(const Product& p, int64 n) {
  for (int64 block = 0; block < p.M; block += kRowBlock) {
    const Range k = p.depth ? p.depth[block / kRowBlock] : Range{0, p.K};
    const int64 end = std::min(p.M, block + kRowBlock);
    int64 m = block;
    for (; m + kRows <= end; m += kRows) multiply_block<Tiles, D, kRows, NR, kLies, kAhead>(p, m, n, k);
    if (m + 4 <= end) {
      multiply_block<Tiles, D, 4, NR, kLies, false>(p, m, n, k);
      m += 4;
    }
    for (; m < end; ++m) multiply_block<Tiles, D, 1, NR, kLies, false>(p, m, n, k);
  }
}

/// Columns that a product makes for so many: whole vectors, or one half of a wide one, which wide processors
/// multiply in half the time.
HWY_INLINE int64 product_columns(int64 n) {
  constexpr int64 L = hn::MaxLanes(F32());
  return L >= 8 && n <= L / 2 ? L / 2 : round_up(n, L);
}

template <class Tiles, Lies kLies, bool kAhead = false>
HWY_NOINLINE void multiply(const Product& p) {
  constexpr int64 L = hn::MaxLanes(F32());
  int64 n = 0;
  for (; n + 2 * L <= p.N; n += 2 * L) multiply_columns<Tiles, F32, 2, kLies, kAhead>(p, n);
  for (; n + L <= p.N; n += L) multiply_columns<Tiles, F32, 1, kLies, kAhead>(p, n);
#if HWY_TARGET != HWY_SCALAR
  if constexpr (L >= 8)
    if (n < p.N) multiply_columns<Tiles, hn::Half<F32>, 1, kLies, kAhead>(p, n);
#endif
}

}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FOVEA_ATTENTION_PRODUCT_INL_H
