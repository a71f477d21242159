#pragma once

#include "kernels/adamw/adamw.h"
#include "kernels/cuda_only.h"

namespace fovea {

namespace reference {
void run(Execution& execution, const AdamW& op);
}  // namespace reference

namespace cpu {
int64 scratch_bytes(const AdamW& op);
void run(Execution& execution, const AdamW& op);
}  // namespace cpu

namespace cuda {  // absent in builds without a CUDA compiler
[[gnu::weak]] int64 scratch_bytes(const AdamW& op);
[[gnu::weak]] void run(Execution& execution, const AdamW& op);
}  // namespace cuda

}  // namespace fovea
