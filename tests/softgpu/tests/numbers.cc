#include "tests/numbers.h"

#include <algorithm>
#include <cfenv>
#include <cmath>

namespace softgpu {

namespace {

int direction(Rounding rounding) {
  switch (rounding) {
    case Rounding::zero:
      return FE_TOWARDZERO;
    case Rounding::down:
      return FE_DOWNWARD;
    case Rounding::up:
      return FE_UPWARD;
    case Rounding::nearest:
    case Rounding::away:
      break;
  }
  return FE_TONEAREST;
}

// The operands are volatile, that the compiler does not compute in its own direction.
template <class Operation>
auto in_direction(int direction, const Operation& operation, bool* inexact = nullptr) {
  const int before = std::fegetround();
  std::fesetround(direction);
  std::feclearexcept(FE_ALL_EXCEPT);
  const volatile auto result = operation();
  if (inexact != nullptr) *inexact = std::fetestexcept(FE_INEXACT) != 0;
  std::fesetround(before);
  return result;
}

template <class Operation>
double odd(const Operation& operation) {
  bool inexact = false;
  const double result = in_direction(FE_TOWARDZERO, operation, &inexact);
  return inexact && std::isfinite(result) ? to_double(from_double(result) | 1) : result;
}

template <class T>
struct Volatile {
  volatile T value;
};

template <class T>
T add(Volatile<T> a, Volatile<T> b) {
  return a.value + b.value;
}
template <class T>
T mul(Volatile<T> a, Volatile<T> b) {
  return a.value * b.value;
}
template <class T>
T div(Volatile<T> a, Volatile<T> b) {
  return a.value / b.value;
}
template <class T>
T fused(Volatile<T> a, Volatile<T> b, Volatile<T> c) {
  return std::fma(T{a.value}, T{b.value}, T{c.value});
}
template <class T>
T root(Volatile<T> a) {
  return std::sqrt(T{a.value});
}

}  // namespace

double widen(uint64_t bits, Format format) {
  const uint64_t mantissa = bits & ((uint64_t{1} << format.mantissa_bits) - 1);
  const int exponent = static_cast<int>((bits >> format.mantissa_bits) & ((1U << format.exponent_bits) - 1));
  const double sign = ((bits >> (format.width() - 1)) & 1) != 0 ? -1 : 1;
  const int bias = (1 << (format.exponent_bits - 1)) - 1;
  if (exponent == (1 << format.exponent_bits) - 1) return mantissa != 0 ? std::nan("") : sign * HUGE_VAL;
  const bool subnormal = exponent == 0;
  const auto whole = static_cast<double>(mantissa | (subnormal ? 0 : uint64_t{1} << format.mantissa_bits));
  return sign * std::ldexp(whole, (subnormal ? 1 : exponent) - bias - format.mantissa_bits);
}

uint64_t narrow(double value, Format format, Rounding rounding) {
  const int bias = (1 << (format.exponent_bits - 1)) - 1;
  const uint64_t infinity = ((uint64_t{1} << format.exponent_bits) - 1) << format.mantissa_bits;
  const uint64_t sign = std::signbit(value) ? uint64_t{1} << (format.width() - 1) : 0;
  if (std::isnan(value)) return infinity | 1;
  if (std::isinf(value)) return sign | infinity;
  const double magnitude = std::fabs(value);
  if (magnitude == 0) return sign;
  // In units of the last place, where a subnormal's last place is that of the smallest normal number.
  const int exponent = std::max(std::ilogb(magnitude), 1 - bias);
  const double units = std::ldexp(magnitude, format.mantissa_bits - exponent);
  const double floor = std::floor(units), rest = units - floor;
  bool up = false;
  switch (rounding) {
    case Rounding::nearest:
      up = rest > 0.5 || (rest == 0.5 && std::fmod(floor, 2) == 1);
      break;
    case Rounding::away:
      up = rest >= 0.5;
      break;
    case Rounding::zero:
      break;
    case Rounding::down:
      up = rest > 0 && sign != 0;
      break;
    case Rounding::up:
      up = rest > 0 && sign == 0;
      break;
  }
  // Counting units from zero is counting bit patterns: a carry goes into the exponent by itself.
  const uint64_t bits = static_cast<uint64_t>(floor) + (up ? 1 : 0) +
                        (static_cast<uint64_t>(exponent - (1 - bias)) << format.mantissa_bits);
  if (bits < infinity) return sign | bits;
  const bool to_infinity = rounding == Rounding::nearest || rounding == Rounding::away ||
                           (rounding == Rounding::up && sign == 0) ||
                           (rounding == Rounding::down && sign != 0);
  return sign | (to_infinity ? infinity : infinity - 1);
}

double odd_add(double a, double b) {
  // Exact zeros have the sign of rounding to nearest.
  if (a + b == 0) return a + b;
  return odd([&] { return add<double>({a}, {b}); });
}
double odd_mul(double a, double b) {
  return odd([&] { return mul<double>({a}, {b}); });
}
double odd_fma(double a, double b, double c) {
  const double nearest = std::fma(a, b, c);
  if (nearest == 0 && odd_mul(a, b) == -c) return nearest;
  return odd([&] { return fused<double>({a}, {b}, {c}); });
}
double odd_div(double a, double b) {
  return odd([&] { return div<double>({a}, {b}); });
}
double odd_sqrt(double a) {
  return odd([&] { return root<double>({a}); });
}

template <class T>
T rounded_add(T a, T b, Rounding rounding) {
  return in_direction(direction(rounding), [&] { return add<T>({a}, {b}); });
}
template <class T>
T rounded_mul(T a, T b, Rounding rounding) {
  return in_direction(direction(rounding), [&] { return mul<T>({a}, {b}); });
}
template <class T>
T rounded_fma(T a, T b, T c, Rounding rounding) {
  return in_direction(direction(rounding), [&] { return fused<T>({a}, {b}, {c}); });
}
template <class T>
T rounded_div(T a, T b, Rounding rounding) {
  return in_direction(direction(rounding), [&] { return div<T>({a}, {b}); });
}
template <class T>
T rounded_sqrt(T a, Rounding rounding) {
  return in_direction(direction(rounding), [&] { return root<T>({a}); });
}
template float rounded_add(float, float, Rounding);
template double rounded_add(double, double, Rounding);
template float rounded_mul(float, float, Rounding);
template double rounded_mul(double, double, Rounding);
template float rounded_fma(float, float, float, Rounding);
template double rounded_fma(double, double, double, Rounding);
template float rounded_div(float, float, Rounding);
template double rounded_div(double, double, Rounding);
template float rounded_sqrt(float, Rounding);
template double rounded_sqrt(double, Rounding);

bool is_nan(uint64_t bits, Format format) {
  const uint64_t infinity = ((uint64_t{1} << format.exponent_bits) - 1) << format.mantissa_bits;
  return (bits & ((uint64_t{1} << (format.width() - 1)) - 1)) > infinity;
}

uint64_t flushed(uint64_t bits, Format format) {
  const uint64_t sign = bits & (uint64_t{1} << (format.width() - 1));
  const uint64_t rest = bits ^ sign;
  return rest < (uint64_t{1} << format.mantissa_bits) ? sign : bits;
}

}  // namespace softgpu
