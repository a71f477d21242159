#pragma once

#include <string>

#include "kernels/check/tensor.h"

namespace fovea::check {

/// The spacing of numbers just above 1.
double epsilon_of(DType dtype);

/// The error rule: |actual - expected| <= roundings * epsilon(output's dtype) * |expected|
///                                        + sums * epsilon(f32) * the largest |expected| of the operand.
/// Infinities and NaN stand where the oracle has them.
struct Tolerance {
  double roundings = 1, sums = 32;
  double floor = 0;  ///< absolute error allowed where terms larger than the result cancel
};

/// How far an answer is from the oracle's.
struct Deviation {
  double share = 0;  ///< the worst error as a part of what is allowed; infinity where nothing makes it good
  std::string text;  ///< where that is, and by how much

  bool allowed() const { return share <= 1; }
};
/// What is not allowed, or nothing.
inline std::string broken(const Deviation& found) { return found.allowed() ? "" : found.text; }

Deviation deviation(const Tensor& actual, const Tensor& expected, Tolerance tolerance);

}  // namespace fovea::check
