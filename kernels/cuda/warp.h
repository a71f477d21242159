#pragma once

#include "core/types.h"

// Reductions within a warp, in an order fixed by lane; every lane that takes part gets the result. As fmaxf
// does, maxima pass over NaN.

namespace fovea::cuda {

constexpr int kWarp = 32;
constexpr uint32 kAllLanes = 0xffffffffu;

/// threadIdx.x, asked for anew where it is used: it is not worth a
/// register in a kernel that needs all of them.
__device__ inline int this_thread() {
  int thread;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
  return thread;
}

__device__ inline int this_lane() { return this_thread() % kWarp; }
__device__ inline int this_warp() { return this_thread() / kWarp; }

/// Over the lanes that differ in the bits below `Lanes` only: of 4 a quad, of 32 the warp.
template <int Lanes, class T>
__device__ inline T group_sum(T x) {
#pragma unroll
  for (int apart = Lanes / 2; apart > 0; apart /= 2) x += __shfl_xor_sync(kAllLanes, x, apart);
  return x;
}
template <int Lanes>
__device__ inline float group_max(float x) {
#pragma unroll
  for (int apart = Lanes / 2; apart > 0; apart /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, apart));
  return x;
}

__device__ inline float quad_sum(float x) { return group_sum<4>(x); }
__device__ inline float quad_max(float x) { return group_max<4>(x); }
template <class T>
__device__ inline T warp_sum(T x) {
  return group_sum<kWarp>(x);
}
__device__ inline float warp_max(float x) { return group_max<kWarp>(x); }

}  // namespace fovea::cuda
