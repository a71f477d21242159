#pragma once

#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/cuda_only.h"

namespace fovea {

namespace reference {
void run(Execution& execution, const LinearCrossEntropy& op);
void run(Execution& execution, const LinearLogits& op);
}  // namespace reference

namespace cpu {
FOVEA_CPU_ONLY int64 scratch_bytes(const LinearCrossEntropy& op, int threads);
FOVEA_CPU_ONLY int64 scratch_bytes(const LinearLogits& op, int threads);
FOVEA_CPU_ONLY void run(Execution& execution, const LinearCrossEntropy& op);
FOVEA_CPU_ONLY void run(Execution& execution, const LinearLogits& op);
}  // namespace cpu

namespace cuda {  // absent in builds without a CUDA compiler
FOVEA_CUDA_ONLY int64 scratch_bytes(const LinearCrossEntropy& op);
FOVEA_CUDA_ONLY int64 scratch_bytes(const LinearLogits& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const LinearCrossEntropy& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const LinearLogits& op);
}  // namespace cuda

}  // namespace fovea
