#include "model/norm.h"

#include "kernels/layer_norm/layer_norm.h"
#include "kernels/rms_norm/rms_norm.h"

namespace fovea {

void Norm::forward(const StepContext& context, const View& x, const View& y, const View& statistic,
                   const View& statistic2) const {
  if (shape.kind == NormKind::rms_norm)
    rms_norm(context.stream, {.x = x,
                              .weight = context.master(weight),
                              .y = y,
                              .inverse_rms = statistic,
                              .epsilon = shape.epsilon,
                              .weight_offset = shape.weight_offset});
  else
    layer_norm(context.stream, {.x = x,
                                .weight = context.master(weight),
                                .bias = context.master(bias),
                                .y = y,
                                .mean = statistic,
                                .inverse_deviation = statistic2,
                                .epsilon = shape.epsilon});
}

void Norm::forward(const StepContext& context, const View& x, Saved& saved, Slot slot) const {
  const DType compute = context.precision.compute, wide = context.precision.wide;
  const int64 n = x.size(0), c = x.size(1);
  const auto run = [&] { forward(context, x, saved(slot), saved(slot, 1), saved(slot, 2)); };
  if (shape.kind == NormKind::rms_norm)
    saved.fill(context, slot, {{"norm", compute, {n, c}}, {"inverse rms", wide, {n}}}, run);
  else
    saved.fill(context, slot,
               {{"norm", compute, {n, c}}, {"mean", wide, {n}}, {"inverse deviation", wide, {n}}}, run);
}

void Norm::backward(const StepContext& context, const View& x, const View& statistic, const View& statistic2,
                    const View& dy, const View& dx, bool accumulate) const {
  if (shape.kind == NormKind::rms_norm)
    rms_norm_backward(context.stream, {.x = x,
                                       .weight = context.master(weight),
                                       .inverse_rms = statistic,
                                       .dy = dy,
                                       .dx = dx,
                                       .dweight = context.gradient(weight),
                                       .weight_offset = shape.weight_offset,
                                       .accumulate = accumulate});
  else
    layer_norm_backward(context.stream, {.x = x,
                                         .weight = context.master(weight),
                                         .mean = statistic,
                                         .inverse_deviation = statistic2,
                                         .dy = dy,
                                         .dx = dx,
                                         .dweight = context.gradient(weight),
                                         .dbias = context.gradient(bias),
                                         .accumulate = accumulate});
}

Norm add_norm(ParameterLayout& layout, const std::string& name, const NormShape& shape, int64 width) {
  Norm norm{.shape = shape};
  norm.weight = layout.add_vector(name + ".weight", width, 1 - shape.weight_offset);
  if (shape.kind == NormKind::layer_norm) norm.bias = layout.add_vector(name + ".bias", width, 0);
  return norm;
}

}  // namespace fovea
