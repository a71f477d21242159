#pragma once

namespace fovea {

/// Multiplications and additions per second of one thread, from dependent chains of fused multiply-adds on
/// the instruction set that the kernels use: what no product can exceed.
double measured_peak_flops();

}  // namespace fovea
