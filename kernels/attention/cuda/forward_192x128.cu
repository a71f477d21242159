#include "kernels/attention/cuda/forward_kernel.h"

namespace fovea::cuda {

const ForwardKernels kForward192x128 =
    kernels_of<OfBoth<128, 64, 192, 128, 8, 1>, OfBoth<64, 64, 192, 128, 4, 2>>(192, 128);

}  // namespace fovea::cuda
