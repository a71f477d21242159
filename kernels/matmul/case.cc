#include "kernels/matmul/case.h"

#include <algorithm>
#include <cmath>

namespace fovea::check {

Case matmul_case(const MatMulProblem& p, uint64 seed) {
  const Layout layout{p.gap, p.offset};
  const auto shape = [](int64 rows, int64 columns, bool transposed) {
    return transposed ? std::vector<int64>{columns, rows} : std::vector<int64>{rows, columns};
  };
  return {.operands = {{"a", p.dtype, shape(p.M, p.K, p.transpose_a), Role::in, nullptr, layout},
                       {"b", p.dtype, shape(p.K, p.N, p.transpose_b), Role::in, nullptr, layout},
                       {"bias", p.bias_dtype, shape_if(p.bias, {p.N})},
                       {"c", p.c_dtype, {p.M, p.N}, p.accumulate ? Role::inout : Role::out, nullptr, layout}},
          .call =
              [p](Stream& stream, const auto& v) {
                matmul(stream, {.a = v[0],
                                .b = v[1],
                                .bias = v[2],
                                .c = v[3],
                                .transpose_a = p.transpose_a,
                                .transpose_b = p.transpose_b,
                                .accumulate = p.accumulate});
              },
          .seed = seed};
}

Tolerance matmul_tolerance(const MatMulProblem& p, Backend backend, Tolerance tolerance) {
  if (device_of(backend) != Device::cuda) return tolerance;
  tolerance.sums = std::max(tolerance.sums, std::sqrt(static_cast<double>(p.K)));
  if (p.c_dtype == DType::bf16 && p.bias && p.bias_dtype == DType::f32) tolerance.floor = 5 * 0x1p-8;
  if (p.c_dtype == DType::bf16 && p.accumulate) tolerance.sums += 0x1p-9 / 0x1p-23;
  return tolerance;
}

Case sum_rows_case(int64 N, int64 C, DType dtype, Layout layout) {
  return {
      .operands = {{"dy", dtype, {N, C}, Role::in, nullptr, layout}, {"dbias", DType::f32, {C}, Role::inout}},
      .call = [](Stream& stream, const auto& v) {
        sum_rows(stream, {v[0], v[1]});
      }};
}

}  // namespace fovea::check
