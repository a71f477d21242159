#pragma once

#include "kernels/check/case.h"
#include "kernels/rope/rope.h"

namespace fovea::check {

/// Rows of a table that cases read.
constexpr int64 kRopePositions = 50;

struct RopeProblem {
  int64 N = 1, H = 1, planes = 1, rest = 0;  // heads of 2 * planes rotated elements and `rest` others
  DType dtype = DType::f32;
  Layout layout;
  bool interleaved = false, inverse = false;

  int64 D() const { return 2 * planes + rest; }
};

/// Operands: x positions cosine sine | y.
Case rope_case(const RopeProblem& o);

/// Operands: | cosine sine, of so many positions. Frequencies are 500000^(-i / planes).
Case rope_table_case(int64 positions, int64 planes, double multiplier);

}  // namespace fovea::check
