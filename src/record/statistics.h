#pragma once

#include <optional>
#include <span>

#include "core/types.h"

namespace fovea {

/// P(T <= t) of Student's t with `freedom` > 0 degrees (Abramowitz and Stegun 26.7.1, by the incomplete beta
/// function).
double student_t_probability(double t, double freedom);
/// The t that a variable stays below with probability p in (0, 1): the inverse of the above.
double student_t_quantile(double p, double freedom);

/// A mean with what its observations say of it.
struct Estimate {
  int64 n = 0;
  double mean = 0;
  double deviation = 0;   ///< of one observation (n - 1 in the denominator); NaN for fewer than two
  double half_width = 0;  ///< of the 95 % interval of the mean, Student's t; NaN for fewer than two
};
/// NaN in everything of no observations.
Estimate estimate(std::span<const double> observations);

/// The smallest n >= 2 at which observations of this deviation tell their mean from a threshold `distance`
/// away: at which the half-width of the 95 % interval is below |distance|. None: not within a million.
std::optional<int64> observations_needed(double distance, double deviation);

}  // namespace fovea
