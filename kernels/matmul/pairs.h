#pragma once

#include "kernels/matmul/matmul.h"

namespace fovea {

/// Whether products of bf16 are taken here, by dot products of pairs (VDPBF16PS). Not where the processor has
/// tiles of bf16 (AMX), which the library knows how to use.
bool multiplies_pairs();
/// Whether this one is: of two bf16 operands, or of one and an f32 operand that is rounded to it.
bool multiplies_pairs(const MatMul& op);

/// The product, cut for the threads. b is laid out once for all rows of a, a once for each panel of columns;
/// a sum runs over K in order, in f32, so that no bit depends on the cut. scratch: pairs_scratch() elements.
int64 pairs_scratch(const MatMul& op, int threads);
void multiply_pairs(Execution& execution, const MatMul& op, float* scratch);

}  // namespace fovea
