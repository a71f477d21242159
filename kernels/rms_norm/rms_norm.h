#pragma once

#include "core/stream.h"

namespace fovea {

/// y = x * r * (weight_offset + weight) with r = 1 / sqrt(mean(x^2) + epsilon), over the last axis (Zhang &
/// Sennrich 2019, eq. 4). Gemma's weight_offset is 1, everybody else's 0.
///
/// x, y (N, C) f32 | bf16 (f64), each its own dtype, rows may be strided; weight (C) f32 | f64; inverse_rms
/// (N) f32 | f64, wanted by backward. A NaN stays in its row.
struct RmsNorm {
  View x, weight;       // in
  View y, inverse_rms;  // out
  float epsilon = 1e-6f, weight_offset = 0;
};
void rms_norm(Stream& stream, const RmsNorm& op);

/// The gradients of rms_norm. dx is overwritten, or added to with `accumulate` (the residual stream's
/// gradient); dweight (C) f32 | f64 is added to, over rows in an order that depends on N alone. dx may be dy
/// when it does not accumulate.
struct RmsNormBackward {
  View x, weight, inverse_rms, dy;  // in
  View dx, dweight;                 // out
  float weight_offset = 0;
  bool accumulate = false;
};
void rms_norm_backward(Stream& stream, const RmsNormBackward& op);

}  // namespace fovea
