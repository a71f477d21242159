#pragma once

#include "core/stream.h"

namespace fovea::cuda {

/// target (C) += the sum over parts of partial (parts, C), f32 on the device: in an order fixed by the shape.
void add_partial_rows(const Execution& execution, const float* partial, int64 parts, int64 C, float* target);

}  // namespace fovea::cuda
