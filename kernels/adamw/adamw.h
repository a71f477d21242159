#pragma once

#include <optional>

#include "core/stream.h"

namespace fovea {

/// One AdamW step (Loshchilov & Hutter 2019, algorithm 2, with the decay multiplied by the learning rate as
/// PyTorch does) over a flat range of n parameters, in one pass:
///   g = gradient * gradient_scale;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
///   w = w (1 - lr decay) - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
///
/// gradient, m, v, weight (n) f32 (all f64 on the reference backend); compute_weight (n) bf16, the rounded
/// copy, or absent.
struct AdamW {
  View gradient;                      // in
  View m, v, weight, compute_weight;  // in and out
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, decay = 0;
  double gradient_scale = 1;             ///< the clip factor
  int64 step = 1;                        ///< t, from 1
  std::optional<Readback<bool>> finite;  ///< set to false where m, v or w becomes infinite or NaN
};
void adamw(Stream& stream, const AdamW& op);

}  // namespace fovea
