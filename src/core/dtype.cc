#include "core/dtype.h"

namespace fovea {

f16::f16(float x) {
  const uint32 u = std::bit_cast<uint32>(x);
  const uint32 sign = (u >> 16) & 0x8000u;
  const uint32 a = u & 0x7fffffffu;
  if (a > 0x7f800000u) {  // NaN stays a NaN
    bits = static_cast<uint16>(sign | 0x7e00u);
  } else if (a >= 0x47800000u) {  // 2^16 and above, infinity included
    bits = static_cast<uint16>(sign | 0x7c00u);
  } else if (a < 0x38800000u) {  // below 2^-14: subnormal; adding 0.5 lets the hardware round to even
    const float magic = std::bit_cast<float>(a) + 0.5f;
    bits = static_cast<uint16>(sign | (std::bit_cast<uint32>(magic) - 0x3f000000u));
  } else {  // rounding may carry into infinity, as it must from 65520 upwards
    bits = static_cast<uint16>(sign | ((a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13));
  }
}

f16::operator float() const {
  const uint32 sign = static_cast<uint32>(bits & 0x8000u) << 16;
  const uint32 exponent = (bits >> 10) & 0x1fu, mantissa = bits & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (mantissa << 13));
}

std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::bf16:
      return "bf16";
    case DType::f16:
      return "f16";
    case DType::f64:
      return "f64";
    case DType::i32:
      return "i32";
  }
  return "?";
}

DType dtype_named(std::string_view name) {
  for (DType dtype : {DType::f32, DType::bf16, DType::f16, DType::f64})
    if (name == name_of(dtype)) return dtype;
  fail_usage("unknown dtype \"{}\": choose f32, bf16, f16 or f64", name);
}

}  // namespace fovea
