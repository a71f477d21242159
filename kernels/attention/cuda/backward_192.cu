#include "kernels/attention/cuda/backward_launch.h"

namespace fovea::cuda {
template void run_backward<Backward192>(Execution&, const AttentionBackward&);
}
