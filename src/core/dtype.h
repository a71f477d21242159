#pragma once

#include <bit>
#include <cmath>
#include <string_view>

#include "core/error.h"
#include "core/types.h"

namespace fovea {

enum class DType { f32, bf16, f16, f64, i32 };

/// bfloat16 storage; conversion from f32 rounds to nearest even and keeps NaN a NaN.
struct bf16 {
  uint16 bits = 0;
  bf16() = default;
  explicit bf16(float x) {
    const uint32 u = std::bit_cast<uint32>(x);
    if ((u & 0x7fffffffu) > 0x7f800000u)
      bits = static_cast<uint16>((u >> 16) | 0x40u);
    else
      bits = static_cast<uint16>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  explicit operator float() const { return std::bit_cast<float>(static_cast<uint32>(bits) << 16); }
};

/// IEEE binary16 storage; conversion from f32 rounds to nearest even.
struct f16 {
  uint16 bits = 0;
  f16() = default;
  explicit f16(float x);
  explicit operator float() const;
};

constexpr int64 size_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return 8;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::bf16:
    case DType::f16:
      return 2;
  }
  return 0;
}

std::string_view name_of(DType dtype);
/// The dtype called `name` ("f32", "bf16", "f16", "f64"); throws UserError (usage) naming the choices.
DType dtype_named(std::string_view name);

template <class T>
struct dtype_of;
template <>
struct dtype_of<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct dtype_of<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct dtype_of<bf16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct dtype_of<f16> {
  static constexpr DType value = DType::f16;
};
template <>
struct dtype_of<int32> {
  static constexpr DType value = DType::i32;
};

inline float to_f32(float x) { return x; }
inline float to_f32(bf16 x) { return static_cast<float>(x); }
inline float to_f32(f16 x) { return static_cast<float>(x); }
template <class T>
T from_f32(float x) {
  return T(x);
}

/// Calls f.template operator()<T>() with the C++ type of a floating-point storage dtype (f32, bf16 or f16).
template <class F>
void dispatch(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f.template operator()<float>();
    case DType::bf16:
      return f.template operator()<bf16>();
    case DType::f16:
      return f.template operator()<f16>();
    default:
      FOVEA_CHECK(false, "no kernel for dtype {}", name_of(dtype));
  }
}

}  // namespace fovea
