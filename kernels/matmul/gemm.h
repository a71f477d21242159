#pragma once

#include "core/stream.h"

namespace fovea {

/// One row-major matrix that a product reads: f32 | bf16, rows `stride` elements apart.
struct GemmOperand {
  const void* data = nullptr;
  DType dtype = DType::f32;
  int64 stride = 0;
  bool transposed = false;
};

/// c = alpha op(a) op(b) + beta c, on this thread alone: op(a) (M, K), op(b) (K, N), c (M, N) f32. With beta
/// = 0 c is not read. The bits depend on the values, the shape and the instruction set only.
struct Gemm {
  int64 M = 0, N = 0, K = 0;
  GemmOperand a, b;
  float* c = nullptr;
  int64 c_stride = 0;
  float alpha = 1, beta = 0;
};
/// Elements of f32 scratch that gemm takes, for its conversions.
int64 gemm_scratch(const Gemm& g);
/// To be called inside a part of Execution::parallel_for.
void gemm(const Gemm& g, float* scratch);

}  // namespace fovea
