#include "kernels/attention/cuda/backward_launch.h"

namespace fovea::cuda {
template void run_backward<Backward64Small>(Execution&, const AttentionBackward&);
template void run_backward<Backward128Small>(Execution&, const AttentionBackward&);
}  // namespace fovea::cuda
