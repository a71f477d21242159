#include "kernels/layer_norm/case.h"

namespace fovea::check {

Case layer_norm_case(const LayerNormProblem& o) {
  return {
      .operands = {{"x", o.x, {o.N, o.C}, Role::in, nullptr, o.layout},
                   {"weight", DType::f32, {o.C}},
                   {"bias", DType::f32, o.bias_shape()},
                   {"y", o.y, {o.N, o.C}, Role::out, nullptr, o.layout},
                   {"mean", DType::f32, {o.N}, Role::out},
                   {"inverse_deviation", DType::f32, {o.N}, Role::out}},
      .call = [](Stream& stream, const std::vector<View>& v) {
        layer_norm(
            stream,
            {.x = v[0], .weight = v[1], .bias = v[2], .y = v[3], .mean = v[4], .inverse_deviation = v[5]});
      }};
}

Case layer_norm_backward_case(const LayerNormProblem& o) {
  const auto statistic = [](int64 n) { return 0.5 + 0.1 * static_cast<double>(n % 7); };
  return {.operands = {{"x", o.x, {o.N, o.C}, Role::in, nullptr, o.layout},
                       {"weight", DType::f32, {o.C}},
                       {"mean", DType::f32, {o.N}, Role::in, statistic},
                       {"inverse_deviation", DType::f32, {o.N}, Role::in, statistic},
                       {"dy", o.y, {o.N, o.C}, Role::in, nullptr, o.layout},
                       {"dx", o.x, {o.N, o.C}, o.accumulate ? Role::inout : Role::out, nullptr, o.layout},
                       {"dweight", DType::f32, {o.C}, Role::inout},
                       {"dbias", DType::f32, o.bias_shape(), Role::inout}},
          .call = [accumulate = o.accumulate](Stream& stream, const std::vector<View>& v) {
            layer_norm_backward(stream, {.x = v[0],
                                         .weight = v[1],
                                         .mean = v[2],
                                         .inverse_deviation = v[3],
                                         .dy = v[4],
                                         .dx = v[5],
                                         .dweight = v[6],
                                         .dbias = v[7],
                                         .accumulate = accumulate});
          }};
}

}  // namespace fovea::check
