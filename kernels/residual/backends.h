#pragma once

#include "kernels/cuda_only.h"
#include "kernels/residual/dropout.h"

namespace fovea {

namespace reference {
void run(Execution& execution, const ResidualAdd& op);
void run(Execution& execution, const ResidualAddBackward& op);
}  // namespace reference

namespace cpu {
FOVEA_CPU_ONLY void run(Execution& execution, const ResidualAdd& op);
FOVEA_CPU_ONLY void run(Execution& execution, const ResidualAddBackward& op);
}  // namespace cpu

namespace cuda {  // absent in builds without a CUDA compiler
FOVEA_CUDA_ONLY void run(Execution& execution, const ResidualAdd& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const ResidualAddBackward& op);
}  // namespace cuda

}  // namespace fovea
