#pragma once

#include "kernels/adamw/adamw.h"
#include "kernels/check/case.h"
#include "kernels/check/deviation.h"

namespace fovea::check {

/// A moment may be far smaller than the two terms, of some tenths, that it is the sum of; of a lone element
/// nothing larger stands beside it.
constexpr Tolerance kAdamWTolerance{.roundings = 2, .sums = 2, .floor = 0.25 * 0x1p-23};

/// Settings of a step in the midst of training.
inline AdamW usual_adamw() { return {.lr = 3e-3, .decay = 0.1, .gradient_scale = 0.7, .step = 3}; }

/// Operands: gradient | m v weight compute_weight.
Case adamw_case(int64 n, AdamW settings, bool compute_weight, uint64 seed = 1);
/// The case with a factor and a flag as operands behind the others.
Case gated_adamw_case(int64 n, const AdamW& settings, double factor, bool go);

/// Everything that a gate decides by.
struct UpdateGateProblem {
  double squares = 1, loss = 1, clip = 0;
  bool has_loss = true;
};
/// Operands: squares loss | factor go.
Case update_gate_case(const UpdateGateProblem& p);

}  // namespace fovea::check
