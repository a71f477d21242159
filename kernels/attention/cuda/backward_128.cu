#include "kernels/attention/cuda/backward_launch.h"

namespace fovea::cuda {
template void run_backward<Backward128>(Execution&, const AttentionBackward&);
}
