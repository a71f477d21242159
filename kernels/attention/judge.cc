#include "kernels/attention/judge.h"

#include "kernels/attention/error_rule.h"

namespace fovea::check {
namespace {

constexpr size_t kMany = 64;
constexpr int64 kFewPairs = 256;

}  // namespace

AttentionJudge::AttentionJudge(const AttentionCase& c, DType dtype, uint64 seed, int threads)
    : call_(attention_call(c, dtype, seed)),
      values_(draw(call_)),
      dtype_(dtype),
      summed_(std::sqrt(static_cast<double>(1 + c.problem.q_len * c.problem.group()))),
      few_pairs_(visible_pairs(c.problem) * c.problem.q_heads < kFewPairs) {
  const Outcome oracle = outcome_of(call_, values_, Backend::reference, threads);
  Outcome plain = outcome_of(call_, values_, Backend::naive);
  trespass_ = oracle.trespass + plain.trespass;
  for (const Tensor& x : oracle.operands) expected_.push_back(x.values());
  plain_ = std::move(plain.operands);
}

Deviation AttentionJudge::deviation(Backend backend, size_t place, const Tensor& actual) const {
  const std::vector<double>& expected = expected_[place];
  if (place == kLse) return lse_deviation(actual.values(), expected);
  ErrorRule rule{.dtype = dtype_,
                 .factor = place == kOut ? 2.0 : 3.0,
                 .low_error = most_apart(plain_[place].values(), expected),
                 .most_lse = most_of(expected_[kLse]),
                 .least = 1};
  // The plain implementation is its own measure elsewhere; here a few roundings of scores and
  // probabilities, and what a sum over rows may gather where its terms cancel.
  if (backend == Backend::naive)
    rule.low_error =
        3 * epsilon_of(dtype_) * std::max(1.0, rule.most_lse) * std::max(summed_, most_of(expected));
  // Of a handful of numbers the plain implementation may by luck get all right; every one is two roundings
  // off. Where few pairs are visible, all numbers of an answer share the roundings of a handful of scores
  // and probabilities, and one problem's plain errors say little of another's: docs/lab-notes.md has how
  // both are spread.
  const double of_few = dtype_ == DType::f32 ? 8 : 2;
  const double roundings = few_pairs_ ? of_few : expected.size() < kMany ? 0.5 : 0;
  rule.low_error =
      std::max(rule.low_error, roundings * epsilon_of(dtype_) * std::max(1.0, most_of(expected)));
  return check::deviation(rule, actual.values(), expected);
}

}  // namespace fovea::check
