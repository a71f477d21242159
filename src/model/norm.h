#pragma once

#include "model/saved.h"
#include "model/shape.h"

namespace fovea {

/// RMSNorm or LayerNorm over the last axis.
struct Norm {
  NormShape shape;
  ParameterId weight = kNoParameter, bias = kNoParameter;

  /// y (N, C); statistics (N) each: 1 / rms, or mean and 1 / deviation.
  void forward(const StepContext& context, const View& x, const View& y, const View& statistic,
               const View& statistic2) const;
  /// The same into a slot: y in the compute dtype.
  void forward(const StepContext& context, const View& x, Saved& saved, Slot slot) const;
  /// dx is overwritten, or added to with `accumulate`.
  void backward(const StepContext& context, const View& x, const View& statistic, const View& statistic2,
                const View& dy, const View& dx, bool accumulate) const;
};

Norm add_norm(ParameterLayout& layout, const std::string& name, const NormShape& shape, int64 width);

}  // namespace fovea
