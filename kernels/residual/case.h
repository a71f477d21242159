#pragma once

#include "kernels/check/case.h"
#include "kernels/residual/residual.h"

namespace fovea::check {

struct ResidualProblem {
  int64 N = 1, C = 1;
  DType x = DType::f32, y = DType::f32;
  Layout layout;
  Dropout dropout;
};

/// Of a seed of its own.
inline Dropout with_probability(float probability, uint64 first_row = 0) {
  return {probability, {.seed = 11, .use = RandomUse::dropout, .stream = 4}, first_row};
}

/// Operands: x y | out.
Case residual_case(const ResidualProblem& o);
/// Operands: dout | dy.
Case residual_backward_case(const ResidualProblem& o);

}  // namespace fovea::check
