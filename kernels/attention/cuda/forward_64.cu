#include "kernels/attention/cuda/forward_kernel.h"

namespace fovea::cuda {

const ForwardKernels kForward64 =
    kernels_of<OfBoth<128, 128, 64, 64, 4, 2>, OfBoth<64, 128, 64, 64, 4, 3>>(64, 64);

}  // namespace fovea::cuda
