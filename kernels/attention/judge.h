#pragma once

#include <vector>

#include "kernels/attention/case.h"
#include "kernels/check/deviation.h"

namespace fovea::check {

/// The oracle's answers to an attention case in a dtype, and those of the plain implementation, whose own
/// error says what others may be off (error_rule.h).
class AttentionJudge {
 public:
  AttentionJudge(const AttentionCase& c, DType dtype, uint64 seed = 1, int threads = 1);

  const Case& call() const { return call_; }
  const Values& values() const { return values_; }
  /// What the two wrote to that must stay as it is, or nothing.
  const std::string& trespass() const { return trespass_; }
  /// All operands as the plain implementation leaves them on one thread.
  const std::vector<Tensor>& plain() const { return plain_; }

  /// Of a backend's answer: kOut to kDsink.
  Deviation deviation(Backend backend, size_t place, const Tensor& actual) const;

 private:
  Case call_;
  Values values_;
  DType dtype_;
  double summed_;  // size of a sum over the query rows of a key, of terms about 1
  bool few_pairs_;
  std::string trespass_;
  std::vector<std::vector<double>> expected_;
  std::vector<Tensor> plain_;
};

}  // namespace fovea::check
