#pragma once

#include "kernels/cuda_only.h"
#include "kernels/embedding/embedding.h"

namespace fovea {

namespace reference {
void run(Execution& execution, const Embedding& op);
void run(Execution& execution, const EmbeddingBackward& op);
}  // namespace reference

namespace cpu {
FOVEA_CPU_ONLY void run(Execution& execution, const Embedding& op);
FOVEA_CPU_ONLY void run(Execution& execution, const EmbeddingBackward& op);
}  // namespace cpu

namespace cuda {  // absent in builds without a CUDA compiler
FOVEA_CUDA_ONLY int64 scratch_bytes(const EmbeddingBackward& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const Embedding& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const EmbeddingBackward& op);
}  // namespace cuda

}  // namespace fovea
