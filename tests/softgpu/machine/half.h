#pragma once

#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>

namespace softgpu {

/// The bits of an f16 or a bf16, told apart.
struct Half {
  uint16_t bits;
};
struct Bfloat {
  uint16_t bits;
};

inline float to_float(Half x) { return _cvtsh_ss(x.bits); }
inline float to_float(Bfloat x) {
  const uint32_t bits = uint32_t{x.bits} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <int Mode>
inline uint16_t packed_half(float x) {
  return static_cast<uint16_t>(_mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(x), Mode)));
}

/// Rounded to nearest, ties to even; NaN is the canonical one (0x7FFF).
inline void from_float(float x, Half& result) {
  result.bits = std::isnan(x) ? 0x7FFF : packed_half<_MM_FROUND_TO_NEAREST_INT>(x);
}
inline void from_float(float x, Bfloat& result) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  result.bits = x != x ? 0x7FFF : static_cast<uint16_t>(rounded);
}
/// Rounded toward zero.
inline void truncate_float(float x, Half& result) {
  result.bits = std::isnan(x) ? 0x7FFF : packed_half<_MM_FROUND_TO_ZERO>(x);
}
inline void truncate_float(float x, Bfloat& result) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  result.bits = x != x ? 0x7FFF : static_cast<uint16_t>(bits >> 16);
}

/// A double to f32 so that rounding that to 16 bits is rounding once: to odd where it is inexact.
inline float to_odd_float(double x) {
  auto value = static_cast<float>(x);
  if (static_cast<double>(value) == x || x != x || std::isinf(value)) return value;
  if (std::fabs(static_cast<double>(value)) > std::fabs(x)) value = std::nextafter(value, 0.0F);
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  bits |= 1;
  std::memcpy(&value, &bits, sizeof bits);
  return value;
}

template <class T>
inline T to_half(float x) {
  T result;
  from_float(x, result);
  return result;
}

}  // namespace softgpu
