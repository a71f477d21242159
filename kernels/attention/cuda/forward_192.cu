#include "kernels/attention/cuda/forward_kernel.h"

namespace fovea::cuda {

const ForwardKernels kForward192 =
    kernels_of<OfBoth<128, 64, 192, 192, 8, 1>, OfBoth<64, 64, 192, 192, 4, 2>>(192, 192);

}  // namespace fovea::cuda
