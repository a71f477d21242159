#pragma once

#include "kernels/check/case.h"
#include "kernels/check/deviation.h"
#include "kernels/matmul/matmul.h"

namespace fovea::check {

/// Everything about one product but its values.
struct MatMulProblem {
  int64 M = 1, N = 1, K = 1;
  DType dtype = DType::f32, c_dtype = DType::f32, bias_dtype = DType::f32;
  bool transpose_a = false, transpose_b = false, accumulate = false, bias = false;
  int64 gap = 0, offset = 0;
};

/// Operands: a b bias | c.
Case matmul_case(const MatMulProblem& p, uint64 seed = 1);

/// On a device the library may add up all of K in one sum after the other, whose roundings grow as its root;
/// a bf16 result takes its bias rounded to bf16, by half a unit of numbers up to 5, and what is added to one
/// may be rounded before, by half a unit of a large one (an H100 did all three).
Tolerance matmul_tolerance(const MatMulProblem& p, Backend backend, Tolerance tolerance);

/// Operands: dy (N, C) | dbias.
Case sum_rows_case(int64 N, int64 C, DType dtype, Layout layout = {});

}  // namespace fovea::check
