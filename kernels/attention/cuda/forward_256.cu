#include "kernels/attention/cuda/forward_kernel.h"

namespace fovea::cuda {

const ForwardKernels kForward256 =
    kernels_of<OfBoth<64, 64, 256, 256, 4, 1>, OfBoth<64, 64, 256, 256, 4, 1>>(256, 256);

}  // namespace fovea::cuda
