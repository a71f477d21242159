#pragma once

#include "core/types.h"

// 16-bit floating-point numbers in device code.

namespace fovea::cuda {

/// Storage of core/dtype.h's bf16 and f16, without what only a host needs.
struct Bf16 {
  uint16 bits;
};
struct F16 {
  uint16 bits;
};

__device__ inline float to_f32(float x) { return x; }
__device__ inline float to_f32(Bf16 x) { return __uint_as_float(uint32{x.bits} << 16); }
__device__ inline float to_f32(F16 x) {
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
  return y;
}

/// Rounds to nearest even.
template <class T>
__device__ T from_f32(float x);
template <>
__device__ inline float from_f32<float>(float x) {
  return x;
}
template <>
__device__ inline Bf16 from_f32<Bf16>(float x) {
  Bf16 y;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
}
template <>
__device__ inline F16 from_f32<F16>(float x) {
  F16 y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
}

/// Two numbers in one register, the first in its lower half, rounded to nearest even.
template <class T>
__device__ uint32 pack(float first, float second);
template <>
__device__ inline uint32 pack<Bf16>(float first, float second) {
  uint32 pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
}
template <>
__device__ inline uint32 pack<F16>(float first, float second) {
  uint32 pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
}

/// The halves of such a register.
template <class T>
__device__ inline float first_of(uint32 pair) {
  return to_f32(T{static_cast<uint16>(pair & 0xffffu)});
}
template <class T>
__device__ inline float second_of(uint32 pair) {
  return to_f32(T{static_cast<uint16>(pair >> 16)});
}

}  // namespace fovea::cuda
