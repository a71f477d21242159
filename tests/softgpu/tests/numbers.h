#pragma once

// Floating-point formats for oracles: values go through double, where every operation is rounded to odd, and
// from there, once and correctly, to the format asked for.

#include <cstdint>

namespace softgpu {

enum class Rounding : uint8_t { nearest, zero, down, up, away };  // away: nearest, ties away from zero

/// A binary format: sign, exponent bits, mantissa bits.
struct Format {
  int exponent_bits, mantissa_bits;
  int width() const { return 1 + exponent_bits + mantissa_bits; }
};
constexpr Format kF16{5, 10}, kBf16{8, 7}, kF32{8, 23}, kTf32{8, 10};

/// The value of the bits; exact.
double widen(uint64_t bits, Format format);
/// The nearest value of the format in the direction said; NaN is any NaN. `value` may be rounded to odd.
uint64_t narrow(double value, Format format, Rounding rounding = Rounding::nearest);

/// a + b, a * b, a * b + c, a / b, sqrt(a), rounded to odd: towards zero, with the last bit set if anything
/// was lost.
double odd_add(double a, double b);
double odd_mul(double a, double b);
double odd_fma(double a, double b, double c);
double odd_div(double a, double b);
double odd_sqrt(double a);

/// Operations of float or double in a direction.
template <class T>
T rounded_add(T a, T b, Rounding rounding);
template <class T>
T rounded_mul(T a, T b, Rounding rounding);
template <class T>
T rounded_fma(T a, T b, T c, Rounding rounding);
template <class T>
T rounded_div(T a, T b, Rounding rounding);
template <class T>
T rounded_sqrt(T a, Rounding rounding);

/// `bits` with subnormal numbers as zeros of their sign.
uint64_t flushed(uint64_t bits, Format format);
bool is_nan(uint64_t bits, Format format);

inline float to_float(uint64_t bits) { return __builtin_bit_cast(float, static_cast<uint32_t>(bits)); }
inline uint64_t from_float(float value) { return __builtin_bit_cast(uint32_t, value); }
inline double to_double(uint64_t bits) { return __builtin_bit_cast(double, bits); }
inline uint64_t from_double(double value) { return __builtin_bit_cast(uint64_t, value); }

}  // namespace softgpu
