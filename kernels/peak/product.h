#pragma once

#include "core/dtype.h"

namespace fovea {

/// Seconds by which benchmarks count: the processor's on one thread, so that other work does not show; the
/// wall clock's on several.
double bench_seconds(int threads);

/// FLOP/s of our product of two 2048 x 2048 matrices into one of the same dtype, the best of five.
double measured_product_flops(DType dtype, int threads);

/// Of the device: FLOP/s of cuBLASLt's product of two 8192 x 8192 matrices of normal numbers into one of the
/// same dtype, and bytes read and written per second by a copy of 1 GiB; medians of five.
double measured_device_product_flops(DType dtype);
double measured_device_bandwidth();

}  // namespace fovea
