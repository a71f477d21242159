#pragma once

#include "core/stream.h"

namespace fovea {

enum class ActivationKind { silu, relu, gelu, gelu_tanh };  // gelu is the exact one, by the error function

/// out = f(gate) * up, or f(gate) where `up` is absent (Shazeer 2020, eq. 5). All (N, C) of one dtype f32 |
/// bf16 (f64), rows may be strided.
struct Activation {
  View gate, up;  // in
  View out;       // out
  ActivationKind kind = ActivationKind::silu;
};
void activation(Stream& stream, const Activation& op);

/// Gradients by gate and up, overwritten; dgate may be gate or dout, dup may be up.
struct ActivationBackward {
  View gate, up, dout;  // in
  View dgate, dup;      // out
  ActivationKind kind = ActivationKind::silu;
};
void activation_backward(Stream& stream, const ActivationBackward& op);

}  // namespace fovea
