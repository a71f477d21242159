#pragma once

#include "kernels/activation/activation.h"
#include "kernels/cuda_only.h"

namespace fovea {

namespace reference {
void run(Execution& execution, const Activation& op);
void run(Execution& execution, const ActivationBackward& op);
}  // namespace reference

namespace cpu {
FOVEA_CPU_ONLY void run(Execution& execution, const Activation& op);
FOVEA_CPU_ONLY void run(Execution& execution, const ActivationBackward& op);
}  // namespace cpu

namespace cuda {  // absent in builds without a CUDA compiler
FOVEA_CUDA_ONLY void run(Execution& execution, const Activation& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const ActivationBackward& op);
}  // namespace cuda

}  // namespace fovea
