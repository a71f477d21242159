#include "kernels/residual/case.h"

namespace fovea::check {

Case residual_case(const ResidualProblem& o) {
  return {.operands = {{"x", o.x, {o.N, o.C}, Role::in, nullptr, o.layout},
                       {"y", o.y, {o.N, o.C}, Role::in, nullptr, o.layout},
                       {"out", o.x, {o.N, o.C}, Role::out, nullptr, o.layout}},
          .call = [dropout = o.dropout](Stream& stream, const std::vector<View>& v) {
            residual_add(stream, {.x = v[0], .y = v[1], .out = v[2], .dropout = dropout});
          }};
}

Case residual_backward_case(const ResidualProblem& o) {
  return {.operands = {{"dout", o.x, {o.N, o.C}, Role::in, nullptr, o.layout},
                       {"dy", o.y, {o.N, o.C}, Role::out, nullptr, o.layout}},
          .call = [dropout = o.dropout](Stream& stream, const std::vector<View>& v) {
            residual_add_backward(stream, {.dout = v[0], .dy = v[1], .dropout = dropout});
          }};
}

}  // namespace fovea::check
