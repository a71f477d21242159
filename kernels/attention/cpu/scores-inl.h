// What happens to scores between the products: cap and mask. Included once per target.
#if defined(FOVEA_ATTENTION_SCORES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_ATTENTION_SCORES_INL_H
#undef FOVEA_ATTENTION_SCORES_INL_H
#else
#define FOVEA_ATTENTION_SCORES_INL_H
#endif

#include <hwy/contrib/math/math-inl.h>

#include <numbers>

#include "kernels/attention/cpu/product-inl.h"
#include "kernels/attention/cpu/tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {

/// From q . k to softmax. Scores are taken to base 2, so that softmax takes exp2.
struct Scores {
  float early = 1;  ///< factor that scores get in a pass of their own, under the tanh where they are capped
  float cap = 0;    ///< to base 2; 0: none
  float late = 1;   ///< positive factor that they get on their way into exp2
  explicit Scores(const AttentionProblem& problem) {
    const float scale = problem.scale * std::numbers::log2e_v<float>;
    if (problem.softcap > 0) {
      early = problem.scale / problem.softcap;
      cap = problem.softcap * std::numbers::log2e_v<float>;
    } else if (scale > 0) {
      late = scale;  // the largest score stays the largest
    } else {
      early = scale;
    }
  }
  bool adjusted() const { return early != 1 || cap > 0; }
};

/// These keys and lanes of s (keys, kQueries) = early * s, or cap * tanh(early * s); where capped and wanted,
/// slope = d(s / log2(e)) / d(scale q.k) = 1 - tanh^2. What was not scored is left alone: it may be anything.
inline void adjust_scores(const Scores& scores, Range keys, Range lanes, float* s, float* slope) {
  for (int64 j = keys.begin; j < keys.end; ++j)
    for_each_vector_of(lanes.size(), [&](auto d, int64 lane) HWY_ATTR {
      const int64 i = j * flash::kQueries + lanes.begin + lane;
      const auto x = hn::Mul(hn::Set(d, scores.early), hn::Load(d, s + i));
      if (scores.cap == 0) {
        hn::Store(x, d, s + i);
        return;
      }
      const auto nan = hn::IsNaN(x);  // not to be rounded to an integer within
      const auto t = hn::IfThenElse(nan, x, hn::Tanh(d, hn::IfThenZeroElse(nan, x)));
      hn::Store(hn::Mul(hn::Set(d, scores.cap), t), d, s + i);
      if (slope) hn::Store(hn::NegMulAdd(t, t, hn::Set(d, 1.0f)), d, slope + i);
    });
}

/// Scores (keys, kQueries) of these keys and lanes become -inf where a query does not see the key. `all`: the
/// keys that each of the lanes sees. All are counted from the tile's first key.
inline void hide(const RowKeys& row_keys, int64 first, Range keys, Range all, Range lanes, float* s) {
  const F32 d;
  const F32V none = hn::Set(d, -std::numeric_limits<float>::infinity());
  for (int64 j = keys.begin; j < keys.end; ++j) {
    if (j >= all.begin && j < all.end) j = all.end;
    if (j >= keys.end) break;
    float* row = s + j * flash::kQueries;
    for (int64 lane = lanes.begin; lane < lanes.end; lane += hn::MaxLanes(d))
      hn::Store(hn::IfThenElse(sees(row_keys, lane, first + j), hn::Load(d, row + lane), none), d,
                row + lane);
  }
}

/// The elements of so many numbers each that hold these numbers.
HWY_INLINE Range in_elements(Range numbers, int64 width) {
  if (numbers.size() <= 0) return {};
  return {numbers.begin / width, ceil_div(numbers.end, width)};
}

/// For blocks of rows, the keys of a tile that some row of the block sees: the depth of a product, in
/// elements of `width` keys.
struct KeyDepth {
  Range blocks[flash::kQueries / kRowBlock];
  KeyDepth() = default;
  KeyDepth(const flash::SeenTile& tile, int64 rows, Range keys, int64 width) {
    for (int64 r = 0; r < rows; r += kRowBlock) {
      const Range seen = intersection(tile.blocks[r / kRowBlock].any, keys);
      blocks[r / kRowBlock] = in_elements({seen.begin - keys.begin, seen.end - keys.begin}, width);
    }
  }
};
/// For blocks of keys, the rows of a tile that see some key of the block, and what lies between them, in
/// elements of `width` rows.
struct RowDepth {
  Range blocks[flash::kKeys / kRowBlock];
  RowDepth() = default;
  RowDepth(const RowKeys& row_keys, const flash::SeenTile& tile, int64 rows, Range keys, int64 width) {
    for (int64 j = keys.begin; j < keys.end; j += kRowBlock) {
      const int64 end = std::min(keys.end, j + kRowBlock);
      const auto blind = [&](int64 r) { return row_keys.last[r] <= j || row_keys.first[r] >= end; };
      const auto blind_block = [&](int64 r) {
        const Range& any = tile.blocks[r / kRowBlock].any;
        return any.end <= j || any.begin >= end;
      };
      Range seen{0, rows};
      while (seen.begin + kRowBlock < seen.end && blind_block(seen.begin)) seen.begin += kRowBlock;
      while (seen.begin < seen.end && blind(seen.begin)) ++seen.begin;
      while (seen.end > seen.begin && blind(seen.end - 1)) --seen.end;
      blocks[(j - keys.begin) / kRowBlock] = in_elements(seen, width);
    }
  }
};

HWY_INLINE void scale_row(float factor, float* row, int64 D) {
  const F32 d;
  const F32V f = hn::Set(d, factor);
  for (int64 c = 0; c < D; c += hn::MaxLanes(d)) hn::Store(hn::Mul(f, hn::Load(d, row + c)), d, row + c);
}

}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FOVEA_ATTENTION_SCORES_INL_H
