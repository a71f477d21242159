#pragma once

#include "kernels/cuda_only.h"
#include "kernels/rope/rope.h"

namespace fovea {

namespace reference {
void run(Execution& execution, const Rope& op);
void run(Execution& execution, const RopeTable& op);
}  // namespace reference

namespace cpu {
FOVEA_CPU_ONLY void run(Execution& execution, const Rope& op);
}  // namespace cpu

namespace cuda {  // absent in builds without a CUDA compiler
FOVEA_CUDA_ONLY void run(Execution& execution, const Rope& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const RopeTable& op);
}  // namespace cuda

}  // namespace fovea
