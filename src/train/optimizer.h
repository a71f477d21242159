#pragma once

#include "config/config.h"
#include "core/buffer.h"
#include "core/ranges.h"
#include "core/stream.h"
#include "model/parameters.h"

namespace fovea {

/// Master weights, their rounded copy for the compute dtype, AdamW's moments and, where asked for, a moving
/// average of the weights: flat ranges in one layout.
class OptimizerState {
 public:
  OptimizerState(const ParameterLayout& layout, DType wide, DType compute, bool averaged = false,
                 Device device = Device::cpu);
  static int64 bytes(const ParameterLayout& layout, DType wide, DType compute, bool averaged = false);

  const View& weights() const { return weights_.view(); }
  const View& compute_weights() const { return compute_ ? compute_.view() : weights_.view(); }
  const View& moment1() const { return m_.view(); }
  const View& moment2() const { return v_.view(); }

  bool averaged() const { return average_.bytes() > 0; }
  /// What is evaluated and exported: the weights' moving average where there is one, else the weights.
  const View& average() const { return averaged() ? average_.view() : weights(); }
  /// In the compute dtype, between use_average() and refresh_compute_weights().
  const View& compute_average() const { return compute_ ? compute_.view() : average(); }
  void use_average(Stream& stream);
  /// The average begins as the weights.
  void start_average(Stream& stream);

  /// After the master weights were written from outside.
  void refresh_compute_weights(Stream& stream);
  /// What a step comes to, where the stream computes it (UpdateGate): factor (1) f64 of the gradient, and go
  /// (1) i32, 0 where nothing is to be written.
  struct Gate {
    View factor, go;
  };
  /// One AdamW step, `step` from 1; matrices decay, vectors do not.
  void update(Stream& stream, const TrainConfig& config, const View& gradient, double lr, const Gate& gate,
              int64 step);
  /// Whether the last update left nothing in weights and moments that is not finite; read after it has run.
  bool updated_finite() const { return finite_.get(); }
  /// average = ema average + (1 - ema) weights (Polyak & Juditsky 1992, with a window of 1 / (1 - ema)
  /// steps).
  void update_average(Stream& stream, const TrainConfig& config);

 private:
  Buffer weights_, m_, v_, average_;
  Ranges decayed_;  // of the flat range
  Readback<bool> finite_;
  struct Copy {
    Buffer buffer;
    explicit operator bool() const { return buffer.bytes() > 0; }
    const View& view() const { return buffer.view(); }
  } compute_;  // where the compute dtype is another
};

}  // namespace fovea
