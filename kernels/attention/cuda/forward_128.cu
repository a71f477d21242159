#include "kernels/attention/cuda/forward_kernel.h"

namespace fovea::cuda {

const ForwardKernels kForward128 =
    kernels_of<OfBoth<128, 64, 128, 128, 4, 2>, OfBoth<64, 64, 128, 128, 4, 3>>(128, 128);

}  // namespace fovea::cuda
