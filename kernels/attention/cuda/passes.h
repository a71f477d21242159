#pragma once

#include "kernels/attention/attention.h"

// The passes that the CUDA backend chooses from. Each takes at most its bytes of scratch memory, in pieces by
// Execution::scratch, and enqueues its kernels on the execution's stream.

namespace fovea::cuda {

/// Tensor cores: bf16 and f16, head sizes up to 256, every (B, S, H, D) operand with rows_of_16_bytes().
int64 flash_forward_bytes(const AttentionProblem& problem);
void flash_forward(Execution& execution, const AttentionForward& op);
int64 flash_backward_bytes(const AttentionProblem& problem);
/// Whether the device has shared memory enough for heads of these sizes.
bool flash_backward_fits(const AttentionProblem& problem);
void flash_backward(Execution& execution, const AttentionBackward& op);

/// Any dtype but f64, head size, stride and alignment; correct everywhere, fast nowhere.
int64 simple_forward_bytes(const AttentionProblem& problem);
void simple_forward(Execution& execution, const AttentionForward& op);
int64 simple_backward_bytes(const AttentionProblem& problem);
void simple_backward(Execution& execution, const AttentionBackward& op);

}  // namespace fovea::cuda
