#include "kernels/matmul/gemm.h"

#include "kernels/matmul/bf16_gemm.h"
#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul/gemm.cc"
#include <hwy/foreach_target.h>  // NOLINT
#include <hwy/highway.h>

#include <dnnl.h>

#include <algorithm>

#include "kernels/simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {
namespace {

void widen_rows(const GemmOperand& from, int64 rows, int64 columns, float* to) {
  for (int64 row = 0; row < rows; ++row)
    read_row(from.dtype, static_cast<const bf16*>(from.data) + row * from.stride, columns,
             to + row * columns);
}

}  // namespace
}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea {
namespace {
HWY_EXPORT(widen_rows);

/// A copy in `scratch` without gaps between its rows.
GemmOperand packed(const GemmOperand& operand, int64 rows, int64 columns, float* scratch) {
  if (rows <= 1 || operand.stride == columns) return operand;
  bf16* to = reinterpret_cast<bf16*>(scratch);
  for (int64 row = 0; row < rows; ++row)
    std::copy_n(static_cast<const bf16*>(operand.data) + row * operand.stride, columns, to + row * columns);
  return {to, DType::bf16, columns, operand.transposed};
}

/// The operand in f32: itself, or a copy in `scratch` (rows, columns as stored).
GemmOperand widened(const GemmOperand& operand, int64 rows, int64 columns, float* scratch) {
  if (operand.dtype == DType::f32) return operand;
  HWY_DYNAMIC_DISPATCH(widen_rows)(operand, rows, columns, scratch);
  return {scratch, DType::f32, columns, operand.transposed};
}

int64 widened_elements(const GemmOperand& operand, int64 elements) {
  return operand.dtype == DType::f32 ? 0 : round_up(elements, 16);
}

}  // namespace

int64 gemm_scratch(const Gemm& g) {
  return widened_elements(g.a, g.M * g.K) + widened_elements(g.b, g.K * g.N);
}

void gemm(const Gemm& g, float* scratch) {
  if (g.M == 0 || g.N == 0) return;
  if (g.K == 0) {  // an empty sum; the library leaves c alone
    for (int64 m = 0; m < g.M; ++m)
      for (int64 n = 0; n < g.N; ++n) {
        float& c = g.c[m * g.c_stride + n];
        c = g.beta == 0 ? 0 : g.beta * c;
      }
    return;
  }
  // as stored
  const int64 a_rows = g.a.transposed ? g.K : g.M, a_columns = g.a.transposed ? g.M : g.K;
  const int64 b_rows = g.b.transposed ? g.N : g.K, b_columns = g.b.transposed ? g.K : g.N;
  float* b_scratch = scratch + widened_elements(g.a, g.M * g.K);
  if (g.a.dtype == DType::bf16 && g.b.dtype == DType::bf16) {
    if (multiply_bf16(g)) return;
    Gemm dense = g;  // the library's fast code refuses some operands with gaps
    dense.a = packed(g.a, a_rows, a_columns, scratch);
    dense.b = packed(g.b, b_rows, b_columns, b_scratch);
    if (multiply_bf16(dense)) return;
  }
  const GemmOperand a = widened(g.a, a_rows, a_columns, scratch);
  const GemmOperand b = widened(g.b, b_rows, b_columns, b_scratch);
  const dnnl_status_t status = dnnl_sgemm(
      a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', g.M, g.N, g.K, g.alpha,
      static_cast<const float*>(a.data), std::max(a.stride, a_columns), static_cast<const float*>(b.data),
      std::max(b.stride, b_columns), g.beta, g.c, std::max(g.c_stride, g.N));
  FOVEA_CHECK(status == dnnl_success, "dnnl_sgemm({}, {}, {}) says {}", g.M, g.N, g.K,
              static_cast<int>(status));
}

}  // namespace fovea
#endif  // HWY_ONCE
