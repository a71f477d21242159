// What of a tile of keys x queries is scored at all. Included once per target.
#if defined(FOVEA_ATTENTION_HALVES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_ATTENTION_HALVES_INL_H
#undef FOVEA_ATTENTION_HALVES_INL_H
#else
#define FOVEA_ATTENTION_HALVES_INL_H
#endif

#include "kernels/attention/cpu/product-inl.h"
#include "kernels/attention/cpu/tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {

/// Some keys of a tile, counted from its first, and some lanes of its queries.
struct Rectangle {
  Range keys, lanes;
};

/// Queries that are scored together: a vector of the widest instruction set, half a tile.
constexpr int64 kHalf = flash::kQueries / 2;

/// The keys of a tile that each half of its queries sees, from the tile's first on. Blocks of kRowBlock keys
/// are scored for a half as a whole or not at all, so that whatever RowDepth and KeyDepth let through has a
/// score.
struct Halves {
  struct Half {
    Range any, all;
  };
  Half of[2];

  /// Of a tile that every one of its `rows` sees.
  Halves(int64 rows, Range keys) {
    const Range whole{0, keys.size()};
    of[0] = {whole, whole};
    if (rows > kHalf) of[1] = {whole, whole};
  }
  Halves(const RowKeys& row_keys, int64 rows, Range keys) {
    for (int64 h = 0; h < 2 && h * kHalf < rows; ++h) {
      const flash::Seen seen = seen_by(row_keys, {h * kHalf, std::min(rows, (h + 1) * kHalf)});
      const Range any = intersection(seen.any, keys), all = intersection(seen.all, any);
      if (any.size() == 0) continue;
      of[h].any = {(any.begin - keys.begin) / kRowBlock * kRowBlock,
                   std::min(keys.size(), round_up(any.end - keys.begin, kRowBlock))};
      of[h].all = {all.begin - keys.begin, all.end - keys.begin};
    }
  }

  /// f(rectangle, all) for rectangles that are what is to be scored; `all`: of its keys those that every one
  /// of its queries sees.
  template <class F>
  void for_each(F f) const {
    const auto give = [&](Range keys, Range lanes, Range all) HWY_ATTR {
      if (keys.size() > 0) f(Rectangle{keys, lanes}, intersection(all, keys));
    };
    const Range both = intersection(of[0].any, of[1].any);
    give(both, {0, 2 * kHalf}, intersection(of[0].all, of[1].all));
    for (int64 h = 0; h < 2; ++h) {
      const Range lanes{h * kHalf, (h + 1) * kHalf};
      give({of[h].any.begin, std::min(of[h].any.end, both.begin)}, lanes, of[h].all);
      give({std::max(of[h].any.begin, both.end), of[h].any.end}, lanes, of[h].all);
    }
  }
};

/// C (M, kQueries) = A (M, K) B (K, kQueries) where the halves see.
template <class Tiles>
void multiply_halves(const Halves& halves, const Product& whole) {
  halves.for_each([&](const Rectangle& part, Range) {
    Product product = whole;
    product.M = part.keys.size();
    product.N = part.lanes.size();
    product.a += part.keys.begin * whole.a_stride;
    product.b += part.lanes.begin;
    product.c += part.keys.begin * whole.c_stride + part.lanes.begin;
    multiply<Tiles, Lies::along_rows>(product);
  });
}

}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FOVEA_ATTENTION_HALVES_INL_H
