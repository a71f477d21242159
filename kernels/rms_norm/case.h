#pragma once

#include "kernels/check/case.h"
#include "kernels/rms_norm/rms_norm.h"

namespace fovea::check {

struct RmsNormProblem {
  int64 N = 1, C = 1;
  DType x = DType::f32, y = DType::f32;
  Layout layout;
  float weight_offset = 0;
  bool accumulate = false;
};

/// Operands: x weight | y inverse_rms.
Case rms_norm_case(const RmsNormProblem& o);
/// Operands: x weight inverse_rms dy | dx dweight. Any positive inverse_rms will do for backend against
/// oracle.
Case rms_norm_backward_case(const RmsNormProblem& o);

}  // namespace fovea::check
