#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include "core/dtype.h"
#include "kernels/check/deviation.h"

namespace fovea::check {

/// The error rule of attention (tests/golden/attention): what an honest kernel may be off, by what a plain
/// unfused implementation in the same dtype is off.

inline double round_to(DType dtype, double x) {
  if (dtype == DType::f64) return x;
  const float f = static_cast<float>(x);
  if (dtype == DType::bf16) return static_cast<float>(bf16(f));
  if (dtype == DType::f16) return static_cast<float>(f16(f));
  return f;
}

/// The largest |a - b| where b is finite.
inline double most_apart(std::span<const double> a, std::span<const double> b) {
  double most = 0;
  for (size_t i = 0; i < b.size(); ++i)
    if (std::isfinite(b[i]) && std::isfinite(a[i])) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}
inline double most_of(std::span<const double> x) {
  double most = 0;
  for (const double value : x)
    if (std::isfinite(value)) most = std::max(most, std::abs(value));
  return most;
}

struct ErrorRule {
  DType dtype = DType::f32;
  double factor = 2;     ///< 2 for out, 3 for gradients
  double low_error = 0;  ///< max|low - ref|
  double most_lse = 0;   ///< max|lse|
  double least = 0;      ///< what max|ref| counts at least for: gradients may cancel to nothing
};

inline double allowed_error(const ErrorRule& rule, std::span<const double> expected) {
  double rounding = 0;
  for (const double x : expected) {
    if (!std::isfinite(x)) continue;
    const double r = round_to(rule.dtype, x), up = round_to(rule.dtype, r + double{0.3f});
    rounding = std::max(rounding, std::abs(round_to(rule.dtype, up - double{0.3f}) - r));
  }
  const double f32_owes =
      4 * 0x1p-23 * std::max(1.0, rule.most_lse) * std::max(rule.least, most_of(expected));
  return std::max(rule.factor * rule.low_error + 2 * rounding, f32_owes);
}

/// NaN and infinities stand where they are expected, and nowhere else: what differs first, or nothing.
inline std::string other_exceptions(std::span<const double> actual, std::span<const double> expected) {
  if (actual.size() != expected.size())
    return fmt::format("{} values, not {}", actual.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const double a = actual[i], e = expected[i];
    const bool same = std::isfinite(e) ? std::isfinite(a) : std::isnan(e) ? std::isnan(a) : a == e;
    if (!same) return fmt::format("[{}] is {}, not {}", i, a, e);
  }
  return {};
}

/// How far an answer is from the oracle's by the rule.
inline Deviation deviation(const ErrorRule& rule, std::span<const double> actual,
                           std::span<const double> expected) {
  std::string found = other_exceptions(actual, expected);
  if (!found.empty()) return {HUGE_VAL, std::move(found)};
  const double error = most_apart(actual, expected), allowed = allowed_error(rule, expected);
  return {error == 0 ? 0 : error / allowed, fmt::format(" error {:.3g}, allowed {:.3g}", error, allowed)};
}

/// lse is f32 from the rounded inputs, whatever the dtype.
inline Deviation lse_deviation(std::span<const double> actual, std::span<const double> expected) {
  std::string found = other_exceptions(actual, expected);
  if (!found.empty()) return {HUGE_VAL, std::move(found)};
  Deviation worst;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (!std::isfinite(expected[i])) continue;
    const double share = std::abs(actual[i] - expected[i]) / (1e-5 * std::max(1.0, std::abs(expected[i])));
    if (share > worst.share) worst = {share, fmt::format("[{}] is {}, not {}", i, actual[i], expected[i])};
  }
  return worst;
}

}  // namespace fovea::check
