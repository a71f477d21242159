#include "record/statistics.h"

#include <cmath>
#include <limits>

#include "core/error.h"

namespace fovea {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kUpperTail = 0.975;  // of a 95 % interval, both sides alike

/// The continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8) by Lentz's method as
/// Thompson and Barnett (1986) modified it; converges fast for x < (a + 1) / (a + b + 2).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  constexpr int kMostTerms = 10000;  // grows as the root of the larger of a and b
  const auto not_zero = [](double v) { return std::abs(v) < kTiny ? kTiny : v; };
  double c = 1, d = 1 / not_zero(1 - (a + b) * x / (a + 1)), result = d;
  for (int m = 1; m <= kMostTerms; ++m) {
    const double i = m;
    const double even = i * (b - i) * x / ((a + 2 * i - 1) * (a + 2 * i));
    d = 1 / not_zero(1 + even * d);
    c = not_zero(1 + even / c);
    result *= c * d;
    const double odd = -(a + i) * (a + b + i) * x / ((a + 2 * i) * (a + 2 * i + 1));
    d = 1 / not_zero(1 + odd * d);
    c = not_zero(1 + odd / c);
    result *= c * d;
    if (std::abs(c * d - 1) < 1e-15) break;
  }
  return result;
}

/// The regularised incomplete beta function I_x(a, b); y = 1 - x, given apart since it may be tiny.
double incomplete_beta(double a, double b, double x, double y) {
  if (x <= 0) return 0;
  if (y <= 0) return 1;
  const double front =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log(y));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, y) / b;
}

/// P(T > t) for t >= 0.
double upper_tail(double t, double freedom) {
  const double square = t * t;
  return 0.5 * incomplete_beta(freedom / 2, 0.5, freedom / (freedom + square), square / (freedom + square));
}

}  // namespace

double student_t_probability(double t, double freedom) {
  FOVEA_CHECK(freedom > 0, "{} degrees of freedom", freedom);
  return t < 0 ? upper_tail(-t, freedom) : 1 - upper_tail(t, freedom);
}

double student_t_quantile(double p, double freedom) {
  FOVEA_CHECK(p > 0 && p < 1 && freedom > 0, "p = {}, {} degrees of freedom", p, freedom);
  if (p == 0.5) return 0;
  if (p < 0.5) return -student_t_quantile(1 - p, freedom);
  double low = 0, high = 1;
  while (upper_tail(high, freedom) > 1 - p) high *= 2;
  // Bisection to neighbouring numbers: quick enough, and nothing to go wrong.
  while (true) {
    const double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) return middle;
    (upper_tail(middle, freedom) > 1 - p ? low : high) = middle;
  }
}

Estimate estimate(std::span<const double> observations) {
  const auto n = static_cast<double>(observations.size());
  Estimate e{static_cast<int64>(observations.size()), kNaN, kNaN, kNaN};
  if (observations.empty()) return e;
  double sum = 0;
  for (const double x : observations) sum += x;
  e.mean = sum / n;
  if (observations.size() < 2) return e;
  double squares = 0;
  for (const double x : observations) squares += (x - e.mean) * (x - e.mean);
  e.deviation = std::sqrt(squares / (n - 1));
  e.half_width = student_t_quantile(kUpperTail, n - 1) * e.deviation / std::sqrt(n);
  return e;
}

std::optional<int64> observations_needed(double distance, double deviation) {
  constexpr int64 kMost = 1'000'000;
  const auto tells = [&](int64 n) {
    const auto count = static_cast<double>(n);
    return student_t_quantile(kUpperTail, count - 1) * deviation / std::sqrt(count) < std::abs(distance);
  };
  if (!tells(kMost)) return std::nullopt;  // also where one of the two is NaN
  int64 fails = 1, high = kMost;
  while (high - fails > 1) {
    const int64 middle = fails + (high - fails) / 2;
    (tells(middle) ? high : fails) = middle;
  }
  return high;
}

}  // namespace fovea
