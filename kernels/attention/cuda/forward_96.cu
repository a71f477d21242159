#include "kernels/attention/cuda/forward_kernel.h"

namespace fovea::cuda {

const ForwardKernels kForward96 =
    kernels_of<OfBoth<128, 64, 96, 96, 4, 2>, OfBoth<64, 64, 96, 96, 4, 3>>(96, 96);

}  // namespace fovea::cuda
