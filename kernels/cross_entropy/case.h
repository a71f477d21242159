#pragma once

#include "kernels/check/case.h"
#include "kernels/check/deviation.h"
#include "kernels/cross_entropy/cross_entropy.h"

namespace fovea::check {

struct CrossEntropyProblem {
  int64 N = 1, C = 1, V = 1;
  DType dtype = DType::f32;
  bool bias = false, gradients = true, accumulators = true, accumulate = true;
  float softcap = 0;
  Layout layout = {};
};

/// Gradients of 0.125 (p - 1): where p is nearly 1, what is left is the rounding of p.
constexpr Tolerance kCrossEntropyTolerance{.roundings = 1, .sums = 64, .floor = 5e-7};
/// Products of bf16 round the gradient by the logits to it: 2^-9 of each term, of which those of a row add up
/// to 0.25 at most, and which may cancel.
Tolerance cross_entropy_tolerance(DType dtype, Tolerance tolerance = kCrossEntropyTolerance);

/// Operands: hidden weight bias targets | losses dhidden dweight dbias. Every fifth row is ignored.
Case linear_cross_entropy_case(const CrossEntropyProblem& p, uint64 seed = 1);
/// Operands: hidden weight bias | logits, which alone have the layout.
Case linear_logits_case(const CrossEntropyProblem& p);

}  // namespace fovea::check
