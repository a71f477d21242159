#include "kernels/rms_norm/case.h"

namespace fovea::check {

Case rms_norm_case(const RmsNormProblem& o) {
  return {.operands = {{"x", o.x, {o.N, o.C}, Role::in, nullptr, o.layout},
                       {"weight", DType::f32, {o.C}},
                       {"y", o.y, {o.N, o.C}, Role::out, nullptr, o.layout},
                       {"inverse_rms", DType::f32, {o.N}, Role::out}},
          .call = [offset = o.weight_offset](Stream& stream, const std::vector<View>& v) {
            rms_norm(stream,
                     {.x = v[0], .weight = v[1], .y = v[2], .inverse_rms = v[3], .weight_offset = offset});
          }};
}

Case rms_norm_backward_case(const RmsNormProblem& o) {
  return {.operands = {{"x", o.x, {o.N, o.C}, Role::in, nullptr, o.layout},
                       {"weight", DType::f32, {o.C}},
                       {"inverse_rms",
                        DType::f32,
                        {o.N},
                        Role::in,
                        [](int64 n) { return 0.5 + 0.1 * static_cast<double>(n % 7); }},
                       {"dy", o.y, {o.N, o.C}, Role::in, nullptr, o.layout},
                       {"dx", o.x, {o.N, o.C}, o.accumulate ? Role::inout : Role::out, nullptr, o.layout},
                       {"dweight", DType::f32, {o.C}, Role::inout}},
          .call = [offset = o.weight_offset, accumulate = o.accumulate](Stream& stream,
                                                                        const std::vector<View>& v) {
            rms_norm_backward(stream, {.x = v[0],
                                       .weight = v[1],
                                       .inverse_rms = v[2],
                                       .dy = v[3],
                                       .dx = v[4],
                                       .dweight = v[5],
                                       .weight_offset = offset,
                                       .accumulate = accumulate});
          }};
}

}  // namespace fovea::check
