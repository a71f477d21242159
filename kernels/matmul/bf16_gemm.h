#pragma once

#include "kernels/matmul/gemm.h"

namespace fovea {

/// gemm of two bf16 operands by the processor's own bf16 instructions; false where it has none, or they
/// are not to be used (has_bf16_dot()), with nothing done. Neither M, N nor K is 0.
bool multiply_bf16(const Gemm& g);

}  // namespace fovea
