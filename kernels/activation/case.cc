#include "kernels/activation/case.h"

namespace fovea::check {

Case activation_case(const ActivationProblem& o) {
  return {.operands = {{"gate", o.dtype, {o.N, o.C}, Role::in, nullptr, o.layout},
                       {"up", o.dtype, o.up_shape(), Role::in, nullptr, o.layout},
                       {"out", o.dtype, {o.N, o.C}, Role::out, nullptr, o.layout}},
          .call = [kind = o.kind](Stream& stream, const std::vector<View>& v) {
            activation(stream, {.gate = v[0], .up = v[1], .out = v[2], .kind = kind});
          }};
}

Case activation_backward_case(const ActivationProblem& o) {
  return {.operands = {{"gate", o.dtype, {o.N, o.C}, Role::in, nullptr, o.layout},
                       {"up", o.dtype, o.up_shape(), Role::in, nullptr, o.layout},
                       {"dout", o.dtype, {o.N, o.C}, Role::in, nullptr, o.layout},
                       {"dgate", o.dtype, {o.N, o.C}, Role::out, nullptr, o.layout},
                       {"dup", o.dtype, o.up_shape(), Role::out, nullptr, o.layout}},
          .call = [kind = o.kind](Stream& stream, const std::vector<View>& v) {
            activation_backward(
                stream, {.gate = v[0], .up = v[1], .dout = v[2], .dgate = v[3], .dup = v[4], .kind = kind});
          }};
}

}  // namespace fovea::check
