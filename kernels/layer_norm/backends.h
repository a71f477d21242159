#pragma once

#include "kernels/cuda_only.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/simd/parts.h"

namespace fovea {

/// What one part of the rows adds to the parameters' gradients.
struct LayerNormSums {
  float *dweight, *dbias;  // (C) each; dbias may be absent
};

namespace reference {
void run(Execution& execution, const LayerNorm& op);
void run(Execution& execution, const LayerNormBackward& op);
}  // namespace reference

namespace cpu {
FOVEA_CPU_ONLY int64 scratch_bytes(const LayerNorm& op, int threads);
FOVEA_CPU_ONLY int64 scratch_bytes(const LayerNormBackward& op, int threads);
FOVEA_CPU_ONLY void run(Execution& execution, const LayerNorm& op);
FOVEA_CPU_ONLY void run(Execution& execution, const LayerNormBackward& op);
}  // namespace cpu

namespace cuda {  // absent in builds without a CUDA compiler
FOVEA_CUDA_ONLY int64 scratch_bytes(const LayerNormBackward& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const LayerNorm& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const LayerNormBackward& op);
}  // namespace cuda

}  // namespace fovea
