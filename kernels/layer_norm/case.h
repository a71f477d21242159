#pragma once

#include "kernels/check/case.h"
#include "kernels/layer_norm/layer_norm.h"

namespace fovea::check {

struct LayerNormProblem {
  int64 N = 1, C = 1;
  DType x = DType::f32, y = DType::f32;
  Layout layout;
  bool bias = true;
  bool accumulate = false;

  std::vector<int64> bias_shape() const { return bias ? std::vector<int64>{C} : std::vector<int64>{}; }
};

/// Operands: x weight bias | y mean inverse_deviation.
Case layer_norm_case(const LayerNormProblem& o);
/// Operands: x weight mean inverse_deviation dy | dx dweight dbias. Any statistics will do for backend
/// against oracle.
Case layer_norm_backward_case(const LayerNormProblem& o);

}  // namespace fovea::check
