#pragma once

#include "model/step_context.h"

namespace fovea {

/// y = x W^T + b over rows: x (N, in), y (N, out), W (out, in), b (out) or absent.
struct Linear {
  ParameterId weight = kNoParameter, bias = kNoParameter;

  void forward(const StepContext& context, const View& x, const View& y) const;
  /// Adds to the gradients of W and b, or writes W's (StepContext::first_gradients); dx, where wanted, is
  /// overwritten or added to.
  void backward(const StepContext& context, const View& x, const View& dy, const View& dx = {},
                bool accumulate_dx = false) const;
};

Linear add_linear(ParameterLayout& layout, const std::string& name, int64 in, int64 out, bool bias,
                  double std);

}  // namespace fovea
