#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>

#include "kernels/matmul/matmul.h"

namespace fovea::cuda {

/// Device memory that a product may take, by its shape alone, so that plans are made where there is no
/// device: sums over K in up to 32 parts, and what NVIDIA recommends for Hopper at most.
inline int64 product_workspace(const MatMul& op) {
  return std::clamp<int64>(op.c.elements() * 32 * int64{sizeof(float)}, int64{1} << 20, int64{32} << 20);
}
/// The library wants its workspace at such an address.
constexpr int64 kWorkspaceAlignment = 256;
/// So are all our buffers, at least: what more an address happens to have must not choose another algorithm.
constexpr int64 kTrustedAlignment = 64;
/// A bias that is added within the product lies at such an address.
constexpr int64 kBiasAlignment = 16;

/// The product by cuBLASLt, as it says of matmul; workspace has product_workspace() bytes. No size is zero; a
/// and b are both f32 or both bf16, c that or f32, the bias in c's dtype at kBiasAlignment. Which algorithm
/// is asked of the library once per device and kind of product (sizes, strides, dtypes, alignments, epilogue)
/// and kept, so that bits stay the same; those that add in no fixed order are not allowed. f32 is f32, not
/// TF32. Throws UserError where the library fails.
void multiply_by_library(const MatMul& op, void* workspace, cudaStream_t stream);

}  // namespace fovea::cuda
