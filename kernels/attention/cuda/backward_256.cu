#include "kernels/attention/cuda/backward_launch.h"

namespace fovea::cuda {
template void run_backward<Backward256>(Execution&, const AttentionBackward&);
}
