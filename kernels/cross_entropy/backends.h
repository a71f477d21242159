#pragma once

#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/cuda_only.h"

namespace fovea {

namespace reference {
void run(Execution& execution, const LinearCrossEntropy& op);
void run(Execution& execution, const LinearLogits& op);
}  // namespace reference

namespace cpu {
int64 scratch_bytes(const LinearCrossEntropy& op, int threads);
int64 scratch_bytes(const LinearLogits& op, int threads);
void run(Execution& execution, const LinearCrossEntropy& op);
void run(Execution& execution, const LinearLogits& op);
}  // namespace cpu

namespace cuda {  // absent in builds without a CUDA compiler
[[gnu::weak]] int64 scratch_bytes(const LinearCrossEntropy& op);
[[gnu::weak]] int64 scratch_bytes(const LinearLogits& op);
[[gnu::weak]] void run(Execution& execution, const LinearCrossEntropy& op);
[[gnu::weak]] void run(Execution& execution, const LinearLogits& op);
}  // namespace cuda

}  // namespace fovea
