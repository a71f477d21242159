// The scores of few rows. Included once per target.
#if defined(FOVEA_ATTENTION_QUADS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_ATTENTION_QUADS_INL_H
#undef FOVEA_ATTENTION_QUADS_INL_H
#else
#define FOVEA_ATTENTION_QUADS_INL_H
#endif

#include <cstring>

#include "kernels/attention/cpu/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {

// With one vector of queries or less, a broadcast of one element of a key serves one multiplication, and
// loading broadcasts takes as long as multiplying. Here a broadcast is of four elements, a quad, which meets
// the same quad of as many queries as a vector has blocks of 128 bits. So two vectors are eight queries (of
// AVX-512), each broadcast serves both, and what a block sums is added up at the end.

constexpr int64 kQuad = 4;
/// Queries of a vector, and of one run of the kernel.
constexpr int64 kVectorRows = ceil_div(hn::MaxLanes(F32()), kQuad), kQuadVectors = 2,
                kQuadRows = kQuadVectors * kVectorRows;
/// Keys of one run: as many as the registers hold sums of.
constexpr int64 kQuadKeys = hn::MaxLanes(F32()) == 16 ? 8 : 4;

/// Whether so many rows are few.
HWY_INLINE bool few_rows(int64 rows) {
  return HWY_TARGET != HWY_SCALAR && rows <= std::min<int64>(flash::kFewRows, hn::MaxLanes(F32()));
}

/// to (columns / kQuadRows, E / kQuad, kQuadRows, kQuad) = rows (n, E), absent ones zero.
inline void lay_in_quads(const float* rows, int64 n, int64 columns, int64 E, float* to) {
  std::memset(to, 0, static_cast<size_t>(columns * E) * sizeof(float));
  for (int64 r = 0; r < n; ++r)
    for (int64 e = 0; e < E; e += kQuad)
      std::memcpy(to + r / kQuadRows * kQuadRows * E + e * kQuadRows + r % kQuadRows * kQuad,
                  rows + r * E + e, kQuad * sizeof(float));
}

/// Scores of a tile of keys.
struct QuadProduct {
  int64 keys, columns;  // columns: queries, a multiple of kQuadRows
  int64 steps;          // quads of a row
  const float* k;       // (keys, steps * kQuad), rows k_stride apart; there to whole kQuadKeys rows
  int64 k_stride;
  const float* q;  // as lay_in_quads() lays them, E = q_stride
  int64 q_stride;
  float* s;  // (keys, kQueries)
};

#if HWY_TARGET != HWY_SCALAR
/// The sums of each block of a, b, c, d as its four lanes.
HWY_INLINE F32V add_blocks(F32V a, F32V b, F32V c, F32V d) {
  const F32 f;
  const hn::Repartition<double, F32> pairs;
  const auto bits = [&](F32V x) HWY_ATTR { return hn::BitCast(pairs, x); };
  const auto ab = bits(hn::Add(hn::InterleaveLower(f, a, b), hn::InterleaveUpper(f, a, b)));
  const auto cd = bits(hn::Add(hn::InterleaveLower(f, c, d), hn::InterleaveUpper(f, c, d)));
  return hn::Add(hn::BitCast(f, hn::InterleaveLower(pairs, ab, cd)),
                 hn::BitCast(f, hn::InterleaveUpper(pairs, ab, cd)));
}

/// Four keys' scores x (kVectorRows, four keys) to their columns of s (keys, kQueries).
HWY_INLINE void store_scores(F32V x, float* s) {
  const F32 d;
  constexpr int64 L = hn::MaxLanes(d);
  HWY_ALIGN int32 order[L];
  for (int32 i = 0; i < L; ++i) order[i] = i % kVectorRows * kQuad + i / kVectorRows;
  HWY_ALIGN float by_key[L];
  hn::Store(hn::TableLookupLanes(x, hn::SetTableIndices(d, order)), d, by_key);
  for (int64 j = 0; j < kQuad; ++j)
    std::memcpy(s + j * flash::kQueries, by_key + j * kVectorRows, kVectorRows * sizeof(float));
}

template <class Tiles, bool kAsks>
HWY_INLINE void score_quads_block(const QuadProduct& p, int64 key, int64 column, flash::Ahead& ahead) {
  const F32 d;
  constexpr int64 L = hn::MaxLanes(d);
  F32V acc[kQuadKeys][kQuadVectors];
#pragma GCC unroll 8
  for (auto& key_sums : acc)
#pragma GCC unroll 2
    for (F32V& sum : key_sums) sum = hn::Zero(d);
  const float* k = p.k + key * p.k_stride;
  const float* q = p.q + column * p.q_stride;
  const auto step = [&]() HWY_ATTR __attribute__((always_inline)) {
    F32V qv[kQuadVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kQuadVectors; ++j) qv[j] = hn::Load(d, q + j * L);
#pragma GCC unroll 8
    for (int i = 0; i < kQuadKeys; ++i) {
      const F32V kv = hn::LoadDup128(d, k + i * p.k_stride);
#pragma GCC unroll 2
      for (int j = 0; j < kQuadVectors; ++j) acc[i][j] = Tiles::multiply_add(kv, qv[j], acc[i][j]);
    }
    k += kQuad;
    q += kQuadVectors * L;
  };
  if constexpr (kAsks)
    step_asking(ahead, p.steps, step);
  else
    for (int64 left = p.steps; left > 0; --left) step();
#pragma GCC unroll 2
  for (int64 i = 0; i < kQuadKeys; i += kQuad)
#pragma GCC unroll 2
    for (int j = 0; j < kQuadVectors; ++j)
      store_scores(add_blocks(acc[i][j], acc[i + 1][j], acc[i + 2][j], acc[i + 3][j]),
                   p.s + (key + i) * flash::kQueries + column + j * kVectorRows);
}

template <class Tiles, bool kAsks>
HWY_INLINE void score_all_quads(const QuadProduct& p, flash::Ahead& ahead) {
  for (int64 key = 0; key < p.keys; key += kQuadKeys)
    for (int64 column = 0; column < p.columns; column += kQuadRows)
      score_quads_block<Tiles, kAsks>(p, key, column, ahead);
}
#endif

/// S^T = K Q^T. Lines are asked for on the way, if any are left.
template <class Tiles>
HWY_NOINLINE void score_quads([[maybe_unused]] const QuadProduct& p, [[maybe_unused]] flash::Ahead& asked) {
#if HWY_TARGET != HWY_SCALAR   // there few_rows() is false
  flash::Ahead ahead = asked;  // in registers
  if (ahead.left == 0) return score_all_quads<Tiles, false>(p, ahead);
  score_all_quads<Tiles, true>(p, ahead);
  asked = ahead;
#endif
}

}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FOVEA_ATTENTION_QUADS_INL_H
