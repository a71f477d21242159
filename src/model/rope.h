#pragma once

#include <string_view>
#include <vector>

#include "model/shape.h"

namespace fovea {

/// The choices of a configuration, in a family that rotates `family_fraction` of a head where nothing else is
/// said. Static NTK is a change of the base and nothing else:
///   ntk           b' = b s^(d / (d - 2))
/// d being the rotated elements of a head, s the factor, L0 the original context.
RopeShape rope_shape(const ModelConfig& config, int64 head_dim, double family_fraction);

std::string_view name_of(RopeType type);

/// By how much each plane turns from one position to the next, and what cosine and sine are multiplied by.
struct RopeFrequencies {
  std::vector<double> radians;  ///< (dims / 2)
  double multiplier = 1;
};

/// The frequencies for sequences of `length` tokens: with f_i = b^(-2i / d), i = 0 .. d / 2 - 1,
///   plain         f_i                                                    Su et al. 2021
///   linear        f_i / s                                                Chen et al. 2023 (PI)
///   dynamic       b' = b (s L / L0 - (s - 1))^(d / (d - 2)) where L = length > L0
///   yarn          e f_i + (1 - e) f_i / s, e = 1 - clamp((i - lo) / (hi - lo), 0, 1); lo, hi: the planes
///   that
///                 turn beta_fast and beta_slow times within L0           Peng et al. 2023, eq. 17-23
///   longrope      f_i / long_factors[i] where length > L0, else / short_factors[i]     Ding et al. 2024
///   llama3        f_i above high_freq_factor turns within L0, f_i / s below low_freq_factor, else between
///                                                                        Llama 3.1
///   proportional  f_i / s in the first `planes` planes, 0 in the others  Barbero et al. 2024 (p-RoPE)
/// as transformers computes them, but in f64.
RopeFrequencies rope_frequencies(const RopeShape& rope, int64 length);

/// The plane, as a real number, that turns `turns` times within `context` positions.
double rope_plane_of(const RopeShape& rope, double turns, double context);

}  // namespace fovea
