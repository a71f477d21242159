// Packing of rows into tiles, and what a mask shows of them. Included once per target.
#if defined(FOVEA_ATTENTION_TILES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_ATTENTION_TILES_INL_H
#undef FOVEA_ATTENTION_TILES_INL_H
#else
#define FOVEA_ATTENTION_TILES_INL_H
#endif

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/attention/cpu/rows.h"
#include "kernels/simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {

using I32 = hn::RebindToSigned<F32>;

template <class T>
HWY_INLINE void convert_row(const T* row, int64 n, float* HWY_RESTRICT to) {
  for_each_vector(n,
                  [&](int64 i, auto part) HWY_ATTR { store_row(load_row(row + i, part), to + i, Whole()); });
}

/// One row as f32, zeros up to whole vectors of the widest instruction set.
HWY_INLINE void unpack_row(DType dtype, const void* row, int64 columns, float* HWY_RESTRICT to) {
  const int64 D = flash::padded(columns);
  const int64 written = round_up(columns, static_cast<int64>(hn::Lanes(F32())));
  if (dtype == DType::f32) {
    convert_row(static_cast<const float*>(row), columns, to);
  } else if (dtype == DType::bf16) {
    convert_row(static_cast<const bf16*>(row), columns, to);
  } else {
    for (int64 i = 0; i < columns; ++i) to[i] = static_cast<float>(static_cast<const f16*>(row)[i]);
    std::fill(to + columns, to + D, 0.0f);
    return;
  }
  if (written < D) std::memset(to + written, 0, static_cast<size_t>(D - written) * sizeof(float));
}

/// The i-th of n even shares of a range.
HWY_INLINE Range share_of(Range range, int64 i, int64 n) {
  return {range.begin + range.size() * i / n, range.begin + range.size() * (i + 1) / n};
}

/// Asks for rows that are packed later. Rows of a head lie far apart, mostly a page, where no processor
/// fetches ahead by itself.
inline void prefetch_rows(const flash::GroupRows& from, Range rows, int64 columns) {
  const int64 bytes = columns * size_of(from.dtype);
  from.for_each(rows, [&](const std::byte* row) {
    for (int64 i = 0; i < bytes; i += flash::kLine) __builtin_prefetch(row + i, 0, 2);
  });
}

/// Rows as a packed f32 tile (rows, padded columns).
inline void pack_rows(const flash::GroupRows& from, Range rows, int64 columns, float* tile) {
  const int64 D = flash::padded(columns);
  from.for_each(rows, [&](const std::byte* row) HWY_ATTR {
    unpack_row(from.dtype, row, columns, tile);
    // The next head's row, which the next unit most often wants, lies behind this one.
    __builtin_prefetch(row + columns * size_of(from.dtype), 0, 2);
    tile += D;
  });
}

/// Tiles whose elements are single numbers in f32, whatever the storage. See Bf16Tiles for the other kind.
struct F32Tiles {
  static constexpr int64 kWidth = 1;  ///< numbers in an element
  template <class V>
  static HWY_INLINE V multiply_add(V a, V b, V c) {
    return hn::MulAdd(a, b, c);
  }
  /// Whether rows in memory are such tiles already, so that what is read once need not be packed.
  static bool lie_along(const flash::GroupRows& from, int64) {
    return from.dtype == DType::f32 && from.on_words();
  }
  static bool lie_across(const flash::GroupRows& from, int64 columns) {
    return lie_along(from, columns) && flash::padded(columns) == columns;
  }
  /// Whether a product for few rows takes rows as lie_along() says, and makes of them what lies across.
  static constexpr bool kLoadsAcross = false;
  /// For sums along the columns: (rows, flash::elements(columns, kWidth)).
  static void pack_along(const flash::GroupRows& from, Range rows, int64 columns, float* tile) {
    pack_rows(from, rows, columns, tile);
  }
  /// For sums across the rows: (rows / kWidth, padded columns). The same here.
  static void pack_across(const flash::GroupRows& from, Range rows, int64 columns, float* tile) {
    pack_rows(from, rows, columns, tile);
  }
  /// A tile that is packed along its columns, laid across its rows: here it is so already, in its place.
  static void lay_across(const float*, int64, int64, float*) {}
  /// Two rows, `row` and the next, or one last row of a tile (rows, kQueries) that sums run across.
  template <class D>
  static HWY_INLINE void store_pair(D d, hn::Vec<D> x0, hn::Vec<D> x1, float* column, int64 row) {
    hn::Store(x0, d, column + row * flash::kQueries);
    hn::Store(x1, d, column + (row + 1) * flash::kQueries);
  }
  template <class D>
  static HWY_INLINE void store_last(D d, hn::Vec<D> x, float* column, int64 row) {
    hn::Store(x, d, column + row * flash::kQueries);
  }
};

/// A row of f32 rounded to its storage.
inline void pack_row(DType dtype, const float* HWY_RESTRICT row, int64 columns, void* to) {
  const auto put = [&](auto* stored) HWY_ATTR {
    for_each_vector(
        columns, [&](int64 i, auto part) HWY_ATTR { store_row(hn::Load(F32(), row + i), stored + i, part); });
  };
  if (dtype == DType::f16)
    for (int64 i = 0; i < columns; ++i) static_cast<f16*>(to)[i] = f16(row[i]);
  else if (dtype == DType::bf16)
    put(static_cast<bf16*>(to));
  else
    put(static_cast<float*>(to));
}
/// to += row, in to's storage.
inline void add_row(DType dtype, const float* HWY_RESTRICT row, int64 columns, void* to) {
  const auto add = [&](auto* stored) HWY_ATTR {
    for_each_vector(columns, [&](int64 i, auto part) HWY_ATTR {
      store_row(hn::Add(load_row(stored + i, part), hn::Load(F32(), row + i)), stored + i, part);
    });
  };
  if (dtype == DType::f16)
    for (int64 i = 0; i < columns; ++i)
      static_cast<f16*>(to)[i] = f16(row[i] + static_cast<float>(static_cast<f16*>(to)[i]));
  else if (dtype == DType::bf16)
    add(static_cast<bf16*>(to));
  else
    add(static_cast<float*>(to));
}

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void transpose_block(const float* from, int64 stride, float* to) {
  for (int64 r = 0; r < 4; ++r)
    for (int64 c = 0; c < 4; ++c) to[c * flash::kQueries + r] = from[r * stride + c];
}
#else
/// 4 x 4 elements: to (columns, kQueries) = the transpose of `from` (rows, stride).
HWY_INLINE void transpose_block(const float* from, int64 stride, float* to) {
  const hn::FixedTag<float, 4> d;
  const auto r0 = hn::Load(d, from), r1 = hn::Load(d, from + stride);
  const auto r2 = hn::Load(d, from + 2 * stride), r3 = hn::Load(d, from + 3 * stride);
  const auto low01 = hn::InterleaveLower(d, r0, r1), low23 = hn::InterleaveLower(d, r2, r3);
  const auto high01 = hn::InterleaveUpper(d, r0, r1), high23 = hn::InterleaveUpper(d, r2, r3);
  hn::Store(hn::ConcatLowerLower(d, low23, low01), d, to);
  hn::Store(hn::ConcatUpperUpper(d, low23, low01), d, to + flash::kQueries);
  hn::Store(hn::ConcatLowerLower(d, high23, high01), d, to + 2 * flash::kQueries);
  hn::Store(hn::ConcatUpperUpper(d, high23, high01), d, to + 3 * flash::kQueries);
}
#endif

/// The transpose (elements, kQueries) of a tile (rows, elements) of at most kQueries rows; absent rows zero.
inline void transpose_tile(float* tile, int64 rows, int64 elements, float* to) {
  std::memset(tile + rows * elements, 0,
              static_cast<size_t>((flash::kQueries - rows) * elements) * sizeof(float));
  for (int64 r = 0; r < flash::kQueries; r += 4)
    for (int64 c = 0; c < elements; c += 4)
      transpose_block(tile + r * elements + c, elements, to + c * flash::kQueries + r);
}

/// The interval of keys that each row of a group sees.
struct RowKeys {
  const int32 *first, *last;
};

HWY_INLINE flash::Seen seen_by(const RowKeys& keys, Range rows) {
  constexpr int32 kMost = std::numeric_limits<int32>::max();
  int32 any_first = kMost, any_last = 0, all_first = 0, all_last = kMost;
  for (int64 r = rows.begin; r < rows.end; ++r) {
    const int32 first = keys.first[r], last = keys.last[r];
    any_first = std::min(any_first, first < last ? first : kMost);
    any_last = std::max(any_last, first < last ? last : 0);
    all_first = std::max(all_first, first);
    all_last = std::min(all_last, last);
  }
  if (any_first >= any_last) return {};
  return {{any_first, any_last}, {all_first, std::max(all_first, all_last)}};
}
HWY_INLINE Range intersection(Range a, Range b) {
  const int64 begin = std::max(a.begin, b.begin);
  return {begin, std::max(begin, std::min(a.end, b.end))};
}

HWY_INLINE flash::Seen seen_by_both(const flash::Seen& a, const flash::Seen& b) {
  const Range all = intersection(a.all, b.all);
  if (a.any.size() == 0) return {b.any, all};
  if (b.any.size() == 0) return {a.any, all};
  return {{std::min(a.any.begin, b.any.begin), std::max(a.any.end, b.any.end)}, all};
}
/// Of the at most kQueries rows of a tile.
HWY_INLINE flash::SeenTile seen_by_tile(const RowKeys& keys, Range rows) {
  flash::SeenTile tile;
  for (int64 r = rows.begin, i = 0; r < rows.end; r += flash::kRowBlock, ++i) {
    tile.blocks[i] = seen_by(keys, {r, std::min(rows.end, r + flash::kRowBlock)});
    tile.rows = i == 0 ? tile.blocks[0] : seen_by_both(tile.rows, tile.blocks[i]);
  }
  return tile;
}

/// Lanes of queries [lane, lane + vector) that see this key.
HWY_INLINE hn::Mask<F32> sees(const RowKeys& keys, int64 lane, int64 key) {
  const I32 d;
  const auto j = hn::Set(d, static_cast<int32>(key));
  const auto first = hn::Load(d, keys.first + lane), last = hn::Load(d, keys.last + lane);
  const auto before = hn::RebindMask(F32(), hn::Gt(first, j)),
             inside = hn::RebindMask(F32(), hn::Gt(last, j));
  return planted(Bug::tail_unmasked) ? hn::Not(before) : hn::AndNot(before, inside);
}

}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FOVEA_ATTENTION_TILES_INL_H
