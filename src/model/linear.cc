#include "model/linear.h"

#include "kernels/matmul/matmul.h"

namespace fovea {

void Linear::forward(const StepContext& context, const View& x, const View& y) const {
  matmul(context.stream,
         {.a = x, .b = context.matrix(weight), .bias = context.master(bias), .c = y, .transpose_b = true});
}

void Linear::backward(const StepContext& context, const View& x, const View& dy, const View& dx,
                      bool accumulate_dx) const {
  // y = x W^T + b
  matmul(context.stream, {.a = dy,
                          .b = x,
                          .c = context.gradient(weight),
                          .transpose_a = true,
                          .accumulate = !context.first_gradients});
  if (bias != kNoParameter) sum_rows(context.stream, {.dy = dy, .dbias = context.gradient(bias)});
  if (dx)
    matmul(context.stream, {.a = dy, .b = context.matrix(weight), .c = dx, .accumulate = accumulate_dx});
}

Linear add_linear(ParameterLayout& layout, const std::string& name, int64 in, int64 out, bool bias,
                  double std) {
  Linear linear;
  linear.weight = layout.add_matrix(name + ".weight", out, in, std, true);
  if (bias) linear.bias = layout.add_vector(name + ".bias", out, 0);
  return linear;
}

}  // namespace fovea
