#include "model/mlp.h"

#include <cmath>

namespace fovea {

Mlp::Mlp(ParameterLayout& layout, const std::string& name, const DecoderShape& shape)
    : hidden_(shape.hidden), gated_(shape.gated), kind_(shape.activation) {
  const auto add = [&](const char* which) {
    return add_linear(layout, name + which, shape.width, hidden_, shape.mlp_bias, shape.init_std);
  };
  if (gated_) gate_ = add(".gate");
  up_ = add(".up");
  const double residual_std = shape.init_std / std::sqrt(2.0 * static_cast<double>(shape.layers));
  down_ = add_linear(layout, name + ".down", hidden_, shape.width, shape.mlp_bias, residual_std);
}

void Mlp::forward(const StepContext& context, const View& n, Saved& saved) const {
  const DType compute = context.precision.compute;
  const int64 rows = n.size(0);
  const Linear& inner = gated_ ? gate_ : up_;
  saved.fill(context, Slot::gate, {{"gate", compute, {rows, hidden_}}},
             [&] { inner.forward(context, n, saved(Slot::gate)); });
  if (gated_)
    saved.fill(context, Slot::up, {{"up", compute, {rows, hidden_}}},
               [&] { up_.forward(context, n, saved(Slot::up)); });
  saved.fill(context, Slot::product, {{"product", compute, {rows, hidden_}}}, [&] {
    activation(
        context.stream,
        {.gate = saved(Slot::gate), .up = saved(Slot::up), .out = saved(Slot::product), .kind = kind_});
  });
}

void Mlp::project(const StepContext& context, const Saved& saved, const View& branch) const {
  down_.forward(context, saved(Slot::product), branch);
}

void Mlp::backward(const StepContext& context, const View& n, const Saved& saved, const View& dbranch,
                   const View& dn) const {
  const DType compute = context.precision.compute;
  const int64 rows = n.size(0);
  Block dgate = context.take("dgate", compute, {rows, hidden_});  // dproduct first, then dgate in its place
  Block dup;
  if (gated_) dup = context.take("dup", compute, {rows, hidden_});
  // branch = product W_down^T
  down_.backward(context, saved(Slot::product), dbranch, dgate);
  // product = f(gate) * up
  activation_backward(context.stream, {.gate = saved(Slot::gate),
                                       .up = saved(Slot::up),
                                       .dout = dgate,
                                       .dgate = dgate,
                                       .dup = dup,
                                       .kind = kind_});
  // gate = n W_gate^T,  up = n W_up^T
  (gated_ ? gate_ : up_).backward(context, n, dgate, dn);
  if (gated_) up_.backward(context, n, dup, dn, true);
}

}  // namespace fovea
