#pragma once

#include "core/dtype.h"

namespace fovea {

/// Multiplications and additions per second that no product can exceed, summed over threads that run at once:
/// registers alone, independent chains of fused multiply-adds (f32) on the instruction set that the kernels
/// use, or of dot products of pairs (bf16), where the processor has them; where not, bf16 is as f32. By each
/// thread's own processor time, so that other work does not show.
double measured_peak_flops(DType dtype = DType::f32, int threads = 1);

/// Bytes per second of a plain read of memory that no cache holds (96 MiB, for as long as this takes),
/// likewise.
double measured_read_bandwidth(int threads = 1);
/// The same of this memory, again and again: of a cache's, where one holds it.
double measured_read_bandwidth(const void* memory, int64 bytes, int threads);

}  // namespace fovea
