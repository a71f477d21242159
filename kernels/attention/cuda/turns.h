#pragma once

#include "kernels/cuda/warp.h"

// Blocks that add to the same memory one after another, in an order of their own. A counter in global memory,
// 0 at first, says whose turn it is.

namespace fovea::cuda {

struct Turn {
  uint32* counter;
  uint32 number;

  /// How many turns are over by now. fence() after it makes what was written in them seen.
  __device__ uint32 over() const {
    uint32 turns;
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(turns) : "l"(counter) : "memory");
    return turns;
  }
  /// Returns once the turns before this one are over and what was written in them is seen. Whoever has one of
  /// them must be running already.
  __device__ void wait() const {
    uint32 turns;
    do asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(turns) : "l"(counter) : "memory");
    while (turns != number);
  }
  __device__ static void fence() { asm volatile("fence.acq_rel.gpu;" ::: "memory"); }
  /// After a fence(): whoever sees that this turn is over sees what was written before the fence.
  __device__ void end() const {
    asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(counter), "r"(number + 1) : "memory");
  }
};

}  // namespace fovea::cuda
