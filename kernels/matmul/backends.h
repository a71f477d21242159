#pragma once

#include "kernels/cuda_only.h"
#include "kernels/matmul/gemm.h"
#include "kernels/matmul/matmul.h"

namespace fovea {

namespace reference {
void run(Execution& execution, const MatMul& op);
void run(Execution& execution, const SumRows& op);
}  // namespace reference

namespace cpu {
FOVEA_CPU_ONLY int64 scratch_bytes(const MatMul& op, int threads);
FOVEA_CPU_ONLY int64 scratch_bytes(const SumRows& op, int threads);
FOVEA_CPU_ONLY void run(Execution& execution, const MatMul& op);
FOVEA_CPU_ONLY void run(Execution& execution, const SumRows& op);

/// The product as a piece of another operation, which gives it scratch (multiply_scratch elements); here a
/// and b may differ in dtype.
int64 multiply_scratch(const MatMul& op, int threads);
void multiply(Execution& execution, const MatMul& op, float* scratch);
/// Likewise.
int64 add_rows_scratch(const SumRows& op, int threads);
void add_rows(Execution& execution, const SumRows& op, float* scratch);
}  // namespace cpu

namespace cuda {  // absent in builds without a CUDA compiler
FOVEA_CUDA_ONLY int64 scratch_bytes(const MatMul& op);
FOVEA_CUDA_ONLY int64 scratch_bytes(const SumRows& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const MatMul& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const SumRows& op);

// Pieces of another operation, which gives them scratch: so many bytes.
int64 multiply_scratch(const MatMul& op);
void multiply(Execution& execution, const MatMul& op, std::byte* scratch);
int64 add_rows_scratch(const SumRows& op);
void add_rows(Execution& execution, const SumRows& op, std::byte* scratch);
}  // namespace cuda

}  // namespace fovea
