#include "kernels/attention/cuda/forward_kernel.h"

namespace fovea::cuda {

const ForwardKernels kForward32 =
    kernels_of<OfBoth<128, 128, 32, 32, 4, 2>, OfBoth<64, 128, 32, 32, 4, 3>>(32, 32);

}  // namespace fovea::cuda
