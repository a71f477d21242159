#pragma once

// Matrix products as libcublasLt.so.13 computes them, apart from how they are asked for.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "memory/global_memory.h"

namespace softgpu {

enum class ElementType : uint8_t { f32, bf16, f16 };
constexpr uint64_t bytes(ElementType type) { return type == ElementType::f32 ? 4 : 2; }
const char* name(ElementType type);

/// Where a batch of matrices lies in device memory. As stored: before any transposition.
struct Matrix {
  std::string role;  // "A", for faults
  ElementType type = ElementType::f32;
  uint64_t address = 0;
  uint64_t rows = 0, columns = 0;
  bool row_major = false;
  int64_t leading = 0;       // elements from column to column, or from row to row if row_major
  int64_t batch_stride = 0;  // elements from matrix to matrix

  uint64_t address_of(uint64_t batch, uint64_t row, uint64_t column) const;
};

/// A vector that goes with the product: a bias, or the gradient of one.
struct Vector {
  ElementType type = ElementType::f32;
  uint64_t address = 0;
  int64_t batch_stride = 0;
};

enum class Epilogue : uint8_t {
  none,
  bias,             // D(i, j) += bias(i)
  bias_gradient_a,  // vector(i) = sum over k of op(A)(i, k)
  bias_gradient_b,  // vector(j) = sum over k of op(B)(k, j)
};

/// A factor, from the host or, at `address`, from the device.
struct Factor {
  float value = 0;
  uint64_t address = 0;
};

/// D = alpha op(A) op(B) + beta C, and the epilogue (cuBLAS documentation, "cublasLtMatmul"). Sums are f32.
struct Product {
  Matrix a, b, c, d;
  bool transpose_a = false, transpose_b = false;
  bool round_to_tf32 = false;
  Factor alpha, beta;
  Epilogue epilogue = Epilogue::none;
  Vector vector;
  uint64_t batches = 1;
  uint64_t workspace = 0, workspace_bytes = 0;  // is written with rubbish, as by a card's kernels

  uint64_t m() const { return d.rows; }
  uint64_t n() const { return d.columns; }
  uint64_t k() const { return transpose_a ? a.rows : a.columns; }
};

/// Computes it. Throws Fault ("out of bounds", "uninitialised") if an operand is not all there; C is not read
/// where beta is 0.
void run_product(const Product& product, GlobalMemory& memory);

}  // namespace softgpu
