// What of a tile of keys x queries is scored at all. Included once per target.
#if defined(FOVEA_ATTENTION_VISIBLE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_ATTENTION_VISIBLE_INL_H
#undef FOVEA_ATTENTION_VISIBLE_INL_H
#else
#define FOVEA_ATTENTION_VISIBLE_INL_H
#endif

#include "kernels/attention/cpu/product-inl.h"
#include "kernels/attention/cpu/tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {

/// Queries that are scored together: half a tile, a vector of the widest instruction set.
constexpr int64 kHalf = flash::kQueries / 2;
static_assert(kHalf == 2 * kRowBlock);

/// Lanes of a tile, and the keys, counted from the tile's first, that some and that all of them see: `any` in
/// whole blocks of kRowBlock, so that whatever RowDepth and KeyDepth let through has a score; `all` in pairs.
struct VisibleHalf {
  Range lanes, any, all;
};

/// The halves of a tile; where all rows see all keys, or are so few, it is one piece.
struct VisibleHalves {
  VisibleHalf of[2];
  int count = 1;
  VisibleHalves(int64 rows, Range keys) {
    const Range whole{0, keys.size()};
    of[0] = {{0, rows > kHalf ? 2 * kHalf : kHalf}, whole, whole};
  }
  VisibleHalves(const flash::SeenTile& tile, int64 rows, Range keys) : count(rows > kHalf ? 2 : 1) {
    for (int64 h = 0; h < count; ++h) {
      const flash::Seen *blocks = tile.blocks + h * 2,
                        seen = rows > h * kHalf + kRowBlock ? seen_by_both(blocks[0], blocks[1]) : blocks[0];
      of[h].lanes = {h * kHalf, (h + 1) * kHalf};
      const Range some = intersection(seen.any, keys), every = intersection(seen.all, some);
      if (some.size() == 0) continue;
      of[h].any = {(some.begin - keys.begin) / kRowBlock * kRowBlock,
                   std::min(keys.size(), round_up(some.end - keys.begin, kRowBlock))};
      of[h].all = {round_up(every.begin - keys.begin, 2), (every.end - keys.begin) / 2 * 2};
    }
  }
  const VisibleHalf* begin() const { return of; }
  const VisibleHalf* end() const { return of + count; }
};

/// Keys and lanes of a tile, and which of these keys all of these lanes see.
struct VisiblePart {
  Range keys, lanes, all;
};

/// What of a tile is scored, as rectangles.
class VisibleParts {
 public:
  explicit VisibleParts(const VisibleHalves& halves) {
    const VisibleHalf &first = halves.of[0], &second = halves.of[1];
    if (halves.count == 1) {
      add(first.any, first.lanes, first.all);
      return;
    }
    const Range both = intersection(first.any, second.any);
    add(both, {0, 2 * kHalf}, intersection(first.all, second.all));
    for (const auto& [lanes, any, all] : halves) {
      add({any.begin, std::min(any.end, both.begin)}, lanes, all);
      add({std::max(any.begin, both.end), any.end}, lanes, all);
    }
  }
  const VisiblePart* begin() const { return parts_; }
  const VisiblePart* end() const { return parts_ + count_; }

 private:
  void add(Range keys, Range lanes, Range all) {
    if (keys.size() <= 0) return;
    const int64 begin = std::clamp(all.begin, keys.begin, keys.end);
    parts_[count_++] = {keys, lanes, {begin, std::clamp(all.end, begin, keys.end)}};
  }
  VisiblePart parts_[5];
  int count_ = 0;
};

/// C (M, N) = A (M, K) B (K, N) for N columns of queries, the visible parts alone.
template <class Tiles, class... Ahead>
HWY_INLINE void multiply_visible(const VisibleParts& parts, Product product, Ahead&... ahead) {
  const int64 columns = product.N;
  const float *a = product.a, *b = product.b;
  float* c = product.c;
  for (const VisiblePart& part : parts) {
    product.M = part.keys.size();
    product.N = std::min(columns, part.lanes.end) - part.lanes.begin;
    product.a = a + part.keys.begin * product.a_stride;
    product.b = b + part.lanes.begin;
    product.c = c + part.keys.begin * product.c_stride + part.lanes.begin;
    multiply<Tiles, Lies::along_rows>(product, ahead...);
  }
}

}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FOVEA_ATTENTION_VISIBLE_INL_H
