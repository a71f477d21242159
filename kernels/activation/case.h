#pragma once

#include "kernels/activation/activation.h"
#include "kernels/check/case.h"

namespace fovea::check {

struct ActivationProblem {
  int64 N = 1, C = 1;
  ActivationKind kind = ActivationKind::silu;
  DType dtype = DType::f32;
  bool gated = true;
  Layout layout;

  std::vector<int64> up_shape() const { return gated ? std::vector<int64>{N, C} : std::vector<int64>{}; }
};

/// Operands: gate up | out.
Case activation_case(const ActivationProblem& o);
/// Operands: gate up dout | dgate dup.
Case activation_backward_case(const ActivationProblem& o);

}  // namespace fovea::check
