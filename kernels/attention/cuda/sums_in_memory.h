#pragma once

#include "kernels/attention/cuda/fragments.h"

namespace fovea::cuda {

/// Whether four neighbours are added by one instruction: from compute capability 9.0 on (PTX ISA,
/// red.v4.f32).
constexpr bool kAddsFour =
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    true;
#else
    false;
#endif

/// A block's sums in memory lie so that its threads store and add neighbouring ones together: as [n][thread],
/// or [n / 4][thread][4]. Only the kernels of one device see them.
template <class Place>
struct SumsInMemory {
  float* tile;  ///< (kRows * kColumns), 16 bytes aligned

  __device__ float* place(int four) const {
    return tile + (kAddsFour ? (four * Place::kThreads + this_thread()) * 4
                             : four * 4 * Place::kThreads + this_thread());
  }
  /// = c. Strong writes, as those of add() are: blocks may do both in turns (turns.h).
  __device__ void store(const typename Place::Sums& c) const {
    Place::for_each_four(c, [&](int four, const float(&x)[4]) {
      float* const to = place(four);
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
      asm volatile("st.relaxed.gpu.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to), "f"(x[0]), "f"(x[1]),
                   "f"(x[2]), "f"(x[3])
                   : "memory");
#else
#pragma unroll
      for (int n = 0; n < 4; ++n)
        asm volatile("st.relaxed.gpu.global.f32 [%0], %1;" ::"l"(to + n * Place::kThreads), "f"(x[n]) : "memory");
#endif
    });
  }
  /// += c, without waiting for it.
  __device__ void add(const typename Place::Sums& c) const {
    Place::for_each_four(c, [&](int four, const float(&x)[4]) {
      float* const to = place(four);
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
      asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to), "f"(x[0]), "f"(x[1]), "f"(x[2]),
                   "f"(x[3])
                   : "memory");
#else
      for (int n = 0; n < 4; ++n) asm volatile("red.global.add.f32 [%0], %1;" ::"l"(to + n * Place::kThreads), "f"(x[n]) : "memory");
#endif
    });
  }
  /// c += them
  __device__ void add_to(typename Place::Sums& c) const {
    Place::for_each_four(c, [&](int four, float(&x)[4]) {
      const float* const from = place(four);
      if constexpr (kAddsFour) {
        const float4 y = *reinterpret_cast<const float4*>(from);
        x[0] += y.x, x[1] += y.y, x[2] += y.z, x[3] += y.w;
      } else {
#pragma unroll
        for (int n = 0; n < 4; ++n) x[n] += from[n * Place::kThreads];
      }
    });
  }
};

}  // namespace fovea::cuda
