#pragma once

#include "kernels/attention/attention.h"
#include "kernels/attention/cuda/backward_shapes.h"

namespace fovea::cuda {

/// Instantiated in backward_D.cu for the shapes of backward_shapes.h, each in a file of its own: they take
/// long to compile.
template <class Shape>
void run_backward(Execution& execution, const AttentionBackward& op);

}  // namespace fovea::cuda
