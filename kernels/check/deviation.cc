#include "kernels/check/deviation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace fovea::check {

double epsilon_of(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return 0x1p-7;
    case DType::f16:
      return 0x1p-10;
    case DType::f32:
      return 0x1p-23;
    default:
      return 0x1p-52;
  }
}

namespace {

// Error as a part of what is allowed.
double share_of(double actual, double expected, double allowed) {
  if (std::isnan(expected)) return std::isnan(actual) ? 0 : HUGE_VAL;
  if (actual == expected) return 0;
  const double error = std::abs(actual - expected);
  return std::isfinite(error) && allowed > 0 ? error / allowed : HUGE_VAL;
}

}  // namespace

Deviation deviation(const Tensor& actual, const Tensor& expected, Tolerance tolerance) {
  if (actual.elements() != expected.elements())
    return {HUGE_VAL, fmt::format(" has {} elements, not {}", actual.elements(), expected.elements())};
  const std::vector<double> values = actual.values(), oracle = expected.values();
  double largest = 0;
  for (const double e : oracle)
    if (std::isfinite(e)) largest = std::max(largest, std::abs(e));
  const double absolute = tolerance.sums * epsilon_of(DType::f32) * largest + tolerance.floor;
  const auto allowed_of = [&](double e) {
    return tolerance.roundings * epsilon_of(actual.dtype()) * std::abs(e) + absolute;
  };
  double worst = 0;
  size_t where = 0;
  for (size_t i = 0; i < oracle.size(); ++i)
    if (const double share = share_of(values[i], oracle[i], allowed_of(oracle[i])); share > worst)
      worst = share, where = i;
  if (worst == 0) return {};
  const double a = values[where], e = oracle[where];
  return {worst, fmt::format("[{}] is {}, not {}: error {:.3g}, allowed {:.3g}", where, a, e, std::abs(a - e),
                             allowed_of(e))};
}

}  // namespace fovea::check
