#pragma once

#include "core/dtype.h"

namespace fovea {

/// Seconds by which benchmarks count: the processor's on one thread, so that other work does not show; the
/// wall clock's on several.
double bench_seconds(int threads);

/// FLOP/s of our product of two 2048 x 2048 matrices into one of the same dtype, the best of five.
double measured_product_flops(DType dtype, int threads);

}  // namespace fovea
