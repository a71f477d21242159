#pragma once

#include "core/stream.h"

namespace fovea {

/// Softmax cross-entropy of a linear head, never holding more than a chunk of logits:
///   logits = hidden weight^T + bias, or softcap * tanh(logits / softcap);   losses = lse(logits) -
///   logits[target]
///
/// hidden (N, C) and weight (V, C) of one dtype f32 | bf16 (f64); bias (V) f32 | f64 or absent; targets (N)
/// i32, -1: ignored (loss 0); losses (N) f32 | f64. Where dhidden is given, the gradients of gradient_scale *
/// sum(losses) come in the same pass: dhidden (N, C) overwritten, in hidden's dtype, bf16 by a gradient of
/// the logits that is rounded to it (on a device dbias too); dweight (V, C) and dbias (V) f32 | f64 added to.
/// Chunks of rows are fixed by the shape, so the bits do not depend on threads. A non-finite logit makes its
/// row's loss NaN or infinite, no other's.
struct LinearCrossEntropy {
  View hidden, weight, bias, targets;  // in
  View losses;                         // out
  View dhidden, dweight, dbias;        // out, or absent
  float softcap = 0;
  double gradient_scale = 1;
  bool accumulate_dweight = true;  ///< false: dweight is overwritten
};
void linear_cross_entropy(Stream& stream, const LinearCrossEntropy& op);

/// The logits themselves, for scoring: logits (N, V) f32 | f64.
struct LinearLogits {
  View hidden, weight, bias;  // in
  View logits;                // out
  float softcap = 0;
};
void linear_logits(Stream& stream, const LinearLogits& op);

}  // namespace fovea
