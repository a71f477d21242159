#pragma once

#include "config/config.h"
#include "core/buffer.h"
#include "core/stream.h"
#include "model/parameters.h"

namespace fovea {

/// Master weights, their rounded copy for the compute dtype, and AdamW's moments: flat ranges in one layout.
class OptimizerState {
 public:
  OptimizerState(const ParameterLayout& layout, DType wide, DType compute);
  static int64 bytes(const ParameterLayout& layout, DType wide, DType compute);

  const View& weights() const { return weights_.view(); }
  const View& compute_weights() const { return compute_ ? compute_.view() : weights_.view(); }
  const View& moment1() const { return m_.view(); }
  const View& moment2() const { return v_.view(); }

  /// After the master weights were written from outside.
  void refresh_compute_weights(Stream& stream);
  /// One AdamW step, `step` from 1; matrices decay, vectors do not.
  void update(Stream& stream, const ParameterLayout& layout, const TrainConfig& config, const View& gradient,
              double lr, double gradient_scale, int64 step);

 private:
  Buffer weights_, m_, v_;
  struct Copy {
    Buffer buffer;
    explicit operator bool() const { return buffer.bytes() > 0; }
    const View& view() const { return buffer.view(); }
  } compute_;  // where the compute dtype is another
};

}  // namespace fovea
