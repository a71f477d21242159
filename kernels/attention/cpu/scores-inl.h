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

/// Scores are kept to base 2, so that softmax takes exp2: the factor log2(e) goes into the packed queries, or
/// behind the tanh where scores are capped.
struct Scores {
  float query_factor, cap;  ///< cap to base 2; 0: none
  explicit Scores(const AttentionProblem& problem)
      : query_factor(problem.softcap > 0 ? problem.scale / problem.softcap
                                         : problem.scale * std::numbers::log2e_v<float>),
        cap(problem.softcap > 0 ? problem.softcap * std::numbers::log2e_v<float> : 0) {}
  bool capped() const { return cap > 0; }
};

/// s (keys, kQueries) = cap * tanh(s); where wanted, slope = d(s / log2(e)) / d(scale q.k) = 1 - tanh^2.
inline void cap_scores(const Scores& scores, float* s, int64 keys, float* slope) {
  const F32 d;
  const F32V cap = hn::Set(d, scores.cap), one = hn::Set(d, 1.0f);
  for (int64 i = 0; i < keys * flash::kQueries; i += hn::MaxLanes(d)) {
    const F32V x = hn::Load(d, s + i);
    const F32V t = hn::IfThenElse(hn::IsNaN(x), x, hn::Tanh(d, x));
    hn::Store(hn::Mul(cap, t), d, s + i);
    if (slope) hn::Store(hn::NegMulAdd(t, t, one), d, slope + i);
  }
}

/// Scores (keys, kQueries) of keys that a query does not see become -inf. `all`: what every query sees.
inline void hide(const RowKeys& row_keys, Range all, Range keys, float* s) {
  const F32 d;
  const F32V none = hn::Set(d, -std::numeric_limits<float>::infinity());
  for (int64 j = keys.begin; j < keys.end; ++j) {
    if (j == all.begin && j < all.end) j = all.end;
    if (j >= keys.end) break;
    float* row = s + (j - keys.begin) * flash::kQueries;
    for (int64 lane = 0; lane < flash::kQueries; lane += hn::MaxLanes(d))
      hn::Store(hn::IfThenElse(sees(row_keys, lane, j), hn::Load(d, row + lane), none), d, row + lane);
  }
}

/// For blocks of rows, the keys of a tile that some row of the block sees: the depth of a product.
struct KeyDepth {
  Range blocks[flash::kQueries / kRowBlock];
  KeyDepth() = default;
  KeyDepth(const RowKeys& row_keys, int64 rows, Range keys) {
    for (int64 r = 0; r < rows; r += kRowBlock) {
      const Range seen = intersection(seen_by(row_keys, {r, std::min(rows, r + kRowBlock)}).any, keys);
      blocks[r / kRowBlock] = {seen.begin - keys.begin, seen.end - keys.begin};
    }
  }
};
/// For blocks of keys, the rows of a tile that see some key of the block, and what lies between them.
struct RowDepth {
  Range blocks[flash::kKeys / kRowBlock];
  RowDepth() = default;
  RowDepth(const RowKeys& row_keys, int64 rows, Range keys) {
    for (int64 j = keys.begin; j < keys.end; j += kRowBlock) {
      const int64 end = std::min(keys.end, j + kRowBlock);
      const auto blind = [&](int64 r) { return row_keys.last[r] <= j || row_keys.first[r] >= end; };
      Range& seen = blocks[(j - keys.begin) / kRowBlock];
      seen = {0, rows};
      while (seen.begin < seen.end && blind(seen.begin)) ++seen.begin;
      while (seen.end > seen.begin && blind(seen.end - 1)) --seen.end;
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
