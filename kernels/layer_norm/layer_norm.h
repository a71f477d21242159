#pragma once

#include "core/stream.h"

namespace fovea {

/// y = (x - mean) * r * weight + bias with r = 1 / sqrt(variance + epsilon), over the last axis (Ba et al.
/// 2016, eq. 4).
///
/// x, y (N, C) f32 | bf16 (f64), each its own dtype, rows may be strided; weight, bias (C) f32 | f64, bias
/// may be absent; mean, inverse_deviation (N) f32 | f64, wanted by backward. A NaN stays in its row.
struct LayerNorm {
  View x, weight, bias;             // in
  View y, mean, inverse_deviation;  // out
  float epsilon = 1e-5f;
};
void layer_norm(Stream& stream, const LayerNorm& op);

/// The gradients of layer_norm; dx is overwritten, or added to with `accumulate`; dweight and dbias are added
/// to, over rows in an order that depends on N alone. dx may be dy when it does not accumulate.
struct LayerNormBackward {
  View x, weight, mean, inverse_deviation, dy;  // in
  View dx, dweight, dbias;                      // out
  bool accumulate = false;
};
void layer_norm_backward(Stream& stream, const LayerNormBackward& op);

}  // namespace fovea
