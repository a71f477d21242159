#pragma once

#include "kernels/cuda_only.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/simd/parts.h"

namespace fovea {

namespace reference {
void run(Execution& execution, const RmsNorm& op);
void run(Execution& execution, const RmsNormBackward& op);
}  // namespace reference

namespace cpu {
FOVEA_CPU_ONLY int64 scratch_bytes(const RmsNorm& op, int threads);
FOVEA_CPU_ONLY int64 scratch_bytes(const RmsNormBackward& op, int threads);
FOVEA_CPU_ONLY void run(Execution& execution, const RmsNorm& op);
FOVEA_CPU_ONLY void run(Execution& execution, const RmsNormBackward& op);
}  // namespace cpu

namespace cuda {  // absent in builds without a CUDA compiler
FOVEA_CUDA_ONLY int64 scratch_bytes(const RmsNormBackward& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const RmsNorm& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const RmsNormBackward& op);
}  // namespace cuda

}  // namespace fovea
