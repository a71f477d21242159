// Tiles of bf16 pairs, for processors that multiply and add pairs with an f32 sum. Included once per target.
#if defined(FOVEA_ATTENTION_BF16_TILES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_ATTENTION_BF16_TILES_INL_H
#undef FOVEA_ATTENTION_BF16_TILES_INL_H
#else
#define FOVEA_ATTENTION_BF16_TILES_INL_H
#endif

#include <immintrin.h>

#include "kernels/attention/cpu/backward-inl.h"
#include "kernels/attention/cpu/tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {

/// 32 numbers of bf16: (low's 16, high's 16), rounded to nearest even, subnormal ones to zero.
HWY_INLINE __m512i round_two(F32V low, F32V high) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high.raw, low.raw));
}
/// (a_0, b_0, a_1, b_1, ...) of the lower, or of the upper 16 numbers of each.
HWY_INLINE __m512i interleave_lower(__m512i a, __m512i b) {
  const __m512i order = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7,
                                         38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  return _mm512_permutex2var_epi16(a, order, b);
}
HWY_INLINE __m512i interleave_upper(__m512i a, __m512i b) {
  const __m512i order = _mm512_set_epi16(63, 31, 62, 30, 61, 29, 60, 28, 59, 27, 58, 26, 57, 25, 56, 24, 55,
                                         23, 54, 22, 53, 21, 52, 20, 51, 19, 50, 18, 49, 17, 48, 16);
  return _mm512_permutex2var_epi16(a, order, b);
}

/// Tiles whose elements are pairs of bf16 that lie side by side along the sum. Products have f32 sums
/// (VDPBF16PS: round to nearest even, subnormal numbers count as zero).
struct Bf16Tiles {
  static constexpr int64 kWidth = 2;
  static HWY_INLINE F32V multiply_add(F32V a, F32V b, F32V c) {
    return F32V{
        _mm512_dpbf16_ps(c.raw, reinterpret_cast<__m512bh>(a.raw), reinterpret_cast<__m512bh>(b.raw))};
  }

  static HWY_INLINE hn::Vec<hn::Half<F32>> multiply_add(hn::Vec<hn::Half<F32>> a, hn::Vec<hn::Half<F32>> b,
                                                        hn::Vec<hn::Half<F32>> c) {
    return hn::Vec<hn::Half<F32>>{
        _mm256_dpbf16_ps(c.raw, reinterpret_cast<__m256bh>(a.raw), reinterpret_cast<__m256bh>(b.raw))};
  }
  /// As F32Tiles: pairs along a row are there, pairs across rows never.
  static bool lie_along(const flash::GroupRows& from, int64 columns) {
    return from.on_words() && columns % kWidth == 0;
  }
  static bool lie_across(const flash::GroupRows&, int64) { return false; }
  /// So pairs across rows are made when they are loaded.
  static constexpr bool kLoadsAcross = true;
  /// 16 N columns of two rows, the second `stride` floats behind the first, pair by pair. Pairs of 32 columns
  /// are not in order, since one instruction less makes them: restore_columns().
  template <size_t N>
  static HWY_INLINE void load_across(const float* rows, int64 stride, F32V (&to)[N]) {
    static_assert(N == 1 || N == 2);
    if constexpr (N == 2) {
      const __m512i a = _mm512_loadu_si512(rows), b = _mm512_loadu_si512(rows + stride);
      to[0].raw = reinterpret_cast<__m512>(_mm512_unpacklo_epi16(a, b));
      to[1].raw = reinterpret_cast<__m512>(_mm512_unpackhi_epi16(a, b));
    } else {
      const auto half = [&](const float* row) HWY_ATTR {
        return _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row)));
      };
      to[0].raw = reinterpret_cast<__m512>(interleave_lower(half(rows), half(rows + stride)));
    }
  }
  /// A row of sums over what load_across() gave, in order again: 32 columns came as those 0 to 3 of each 8,
  /// then those 4 to 7.
  static HWY_INLINE void restore_columns(float* row, int64 columns) {
    const __m512i lower = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0),
                  upper = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
    for (int64 c = 0; c + 32 <= columns; c += 32) {
      const __m512d a = _mm512_load_pd(row + c), b = _mm512_load_pd(row + c + 16);
      _mm512_store_pd(row + c, _mm512_permutex2var_pd(a, lower, b));
      _mm512_store_pd(row + c + 16, _mm512_permutex2var_pd(a, upper, b));
    }
  }
  /// Columns [c, c + 32) of a row, zeros behind the last.
  static HWY_INLINE __m512i load_columns(const std::byte* row, int64 c, int64 columns) {
    const std::byte* at = row + c * static_cast<int64>(sizeof(bf16));
    if (c + 32 <= columns) return _mm512_loadu_si512(at);
    return _mm512_maskz_loadu_epi16(static_cast<__mmask32>((uint64_t{1} << (columns - c)) - 1), at);
  }
  /// (rows, elements): the rows as they are, with zeros behind.
  static void pack_along(const flash::GroupRows& from, Range rows, int64 columns, float* tile) {
    const int64 E = flash::elements(columns, kWidth);
    from.for_each(rows, [&](const std::byte* row) HWY_ATTR {
      for (int64 c = 0; c < columns; c += 32) _mm512_store_si512(tile + c / 2, load_columns(row, c, columns));
      __builtin_prefetch(row + columns * static_cast<int64>(sizeof(bf16)), 0, 2);
      tile += E;
    });
  }
  /// (rows / 2, padded columns) of a tile packed along its columns; its rows are even in number.
  static void lay_across(const float* tile, int64 rows, int64 columns, float* across) {
    const int64 E = flash::elements(columns, kWidth), D = flash::padded(columns);
    for (int64 r = 0; r + 2 <= rows; r += 2, tile += 2 * E, across += D)
      for (int64 c = 0; c < D; c += 32) {
        const __m512i a = _mm512_load_si512(tile + c / 2), b = _mm512_load_si512(tile + E + c / 2);
        _mm512_store_si512(across + c, interleave_lower(a, b));
        if (c + 16 < D) _mm512_store_si512(across + c + 16, interleave_upper(a, b));
      }
  }
  /// (rows / 2, padded columns): the rows two by two, a missing last one zero.
  static void pack_across(const flash::GroupRows& from, Range rows, int64 columns, float* across) {
    const int64 D = flash::padded(columns);
    for (int64 r = rows.begin; r < rows.end; r += 2, across += D) {
      const std::byte *first = from.at(r), *second = r + 1 < rows.end ? from.at(r + 1) : nullptr;
      for (int64 c = 0; c < D; c += 32) {
        const __m512i a = load_columns(first, c, columns),
                      b = second ? load_columns(second, c, columns) : _mm512_setzero_si512();
        _mm512_store_si512(across + c, interleave_lower(a, b));
        if (c + 16 < D) _mm512_store_si512(across + c + 16, interleave_upper(a, b));
      }
    }
  }

  static HWY_INLINE void store_pair(F32, F32V x0, F32V x1, float* column, int64 row) {
    const __m512i both = round_two(x0, x1);
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23,
                                           7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    _mm512_store_si512(column + row / 2 * flash::kQueries, _mm512_permutexvar_epi16(order, both));
  }
  using Half = hn::Half<F32>;
  static HWY_INLINE void store_pair(Half, hn::Vec<Half> x0, hn::Vec<Half> x1, float* column, int64 row) {
    const auto both = reinterpret_cast<__m256i>(_mm256_cvtne2ps_pbh(x1.raw, x0.raw));
    const __m256i order = _mm256_set_epi16(15, 7, 14, 6, 13, 5, 12, 4, 11, 3, 10, 2, 9, 1, 8, 0);
    _mm256_store_si256(reinterpret_cast<__m256i*>(column + row / 2 * flash::kQueries),
                       _mm256_permutexvar_epi16(order, both));
  }
  template <class D>
  static HWY_INLINE void store_last(D d, hn::Vec<D> x, float* column, int64 row) {
    store_pair(d, x, hn::Zero(d), column, row);
  }
};

/// p and ds of some keys of a tile, the first an even one: both along the queries, ds across the keys as
/// well. Where only one half of the queries is wanted, p and ds of the other are zeros.
template <bool kMasked, bool kLeft, bool kRight>
HWY_INLINE void soften_pairs(const SoftTile& tile, Range keys, const flash::BackwardMemory& memory) {
  static_assert(flash::kQueries == 32, "a row of a tile is one vector");
  constexpr int64 kRow = flash::kQueries / Bf16Tiles::kWidth;
  const F32 d;
  const SoftTile t = tile;  // a copy that no store can touch
  float *const p = memory.p, *const ds_along = memory.ds, *const ds_across = memory.ds_across;
  const PAndDs none{hn::Zero(d), hn::Zero(d)};
  __m512i last = _mm512_setzero_si512();
  for (int64 j = keys.begin; j < keys.end; ++j) {
    const PAndDs left = kLeft ? soften_backward<kMasked>(t, j, 0) : none,
                 right = kRight ? soften_backward<kMasked>(t, j, 16) : none;
    const __m512i ds = round_two(left.ds, right.ds);
    _mm512_store_si512(p + j * kRow, round_two(left.p, right.p));
    _mm512_store_si512(ds_along + j * kRow, ds);
    if (j % 2 == 1 || j + 1 == keys.end) {
      const __m512i even = j % 2 == 1 ? last : ds, odd = j % 2 == 1 ? ds : _mm512_setzero_si512();
      float* across = ds_across + j / 2 * flash::kQueries;
      if (kLeft) _mm512_store_si512(across, interleave_lower(even, odd));
      if (kRight) _mm512_store_si512(across + 16, interleave_upper(even, odd));
    }
    last = ds;
  }
}

template <bool kMasked>
HWY_INLINE void soften_keys(Bf16Tiles, const SoftTile& tile, Range keys, Range lanes,
                            const flash::BackwardMemory& memory) {
  if (lanes.size() == flash::kQueries)
    soften_pairs<kMasked, true, true>(tile, keys, memory);
  else if (lanes.begin == 0)
    soften_pairs<kMasked, true, false>(tile, keys, memory);
  else
    soften_pairs<kMasked, false, true>(tile, keys, memory);
}

}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FOVEA_ATTENTION_BF16_TILES_INL_H
