#pragma once

#include "kernels/adamw/adamw.h"
#include "kernels/cuda_only.h"

namespace fovea {

// What an update reads of one number in memory that the host can read too.
inline bool goes(const AdamW& op) { return !op.go || *op.go.data<int32>() != 0; }
inline double whole_scale(const AdamW& op) {
  return op.gradient_scale * (op.gradient_factor ? *op.gradient_factor.data<double>() : 1);
}

namespace reference {
void run(Execution& execution, const AdamW& op);
void run(Execution& execution, const UpdateGate& op);
}  // namespace reference

namespace cpu {
int64 scratch_bytes(const AdamW& op);
void run(Execution& execution, const AdamW& op);
void run(Execution& execution, const UpdateGate& op);
}  // namespace cpu

namespace cuda {  // absent in builds without a CUDA compiler
FOVEA_CUDA_ONLY int64 scratch_bytes(const AdamW& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const AdamW& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const UpdateGate& op);
}  // namespace cuda

}  // namespace fovea
