#pragma once

#include <optional>

#include "core/ranges.h"
#include "core/stream.h"

namespace fovea {

/// One AdamW step (Loshchilov & Hutter 2019, algorithm 2, with the decay multiplied by the learning rate as
/// PyTorch does) over a flat range of n parameters, in one pass:
///   g = gradient * gradient_scale;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
///   w = w (1 - lr decay) - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
///
/// gradient, m, v, weight (n) f32 (all f64 on the reference backend); compute_weight (n) bf16, the rounded
/// copy, or absent. What a step comes to may be known on the stream alone (UpdateGate): gradient_factor (1)
/// f64 is one more factor of the gradient, and where go (1) i32 is 0 nothing at all is written.
struct AdamW {
  View gradient;                       // in
  View m, v, weight, compute_weight;   // in and out
  View gradient_factor = {}, go = {};  // in, or absent
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, decay = 0;
  /// What decays of the n, in ascending order; absent: all.
  Ranges decayed = nullptr;
  double gradient_scale = 1;             ///< the clip factor, where the host knows it
  int64 step = 1;                        ///< t, from 1
  std::optional<Readback<bool>> finite;  ///< set to false where m, v or w becomes infinite or NaN
};
void adamw(Stream& stream, const AdamW& op);

/// Decides where the gradient is whether the step is to be taken, and how far it is clipped, so that no host
/// has to wait for its norm (Pascanu et al. 2013, clipping by the global norm):
///   norm = sqrt(squares);  factor = clip > 0 ? min(1, clip / (norm + 1e-6)) : 1;  go = loss and norm finite
///
/// squares (1) f64, the sum of the gradient's squares; loss (1) f64 or absent; factor (1) f64; go (1) i32.
struct UpdateGate {
  View squares, loss;  // in
  View factor, go;     // out
  double clip = 0;
};
void gate_update(Stream& stream, const UpdateGate& op);

}  // namespace fovea
