#pragma once

#include "core/stream.h"

namespace fovea::cuda {

/// Sums over parts of the rows of an operand, f32 on the device: (parts, stride).
struct PartialRows {
  const float* sums = nullptr;
  int64 parts = 0, stride = 0;
};

/// first (C) += the sum over parts of columns [0, C), and second (C) that of [C, 2 C) unless it is null: in
/// an order fixed by the shape.
void add_partial_rows(const Execution& execution, const PartialRows& partial, int64 C, float* first,
                      float* second = nullptr);

}  // namespace fovea::cuda
