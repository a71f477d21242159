#pragma once

#include "kernels/cuda/warp.h"

// Warps of several blocks that add to the same memory one after another, in an order of their own. A counter
// in global memory, 0 at first, says whose turn it is.

namespace fovea::cuda {

/// How many turns are over by now: asked for ahead of wait_for_turn, so that nobody waits for the answer.
__device__ inline uint32 turns_over(const uint32* counter) {
  uint32 turns;
  asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(turns) : "l"(counter) : "memory");
  return turns;
}

/// Returns to all lanes once the turns before this one are over, and what was written in them is seen. `over`
/// is what turns_over() said before. Whoever has one of these turns must be running already.
__device__ inline void wait_for_turn(const uint32* counter, uint32 turn, uint32 over) {
  if (threadIdx.x % kWarp == 0) {
    while (over != turn) over = turns_over(counter);
    asm volatile("fence.acq_rel.gpu;" ::: "memory");
  }
  __syncwarp();
}

/// Ends the turn: what any lane wrote before is seen by whoever waits for the next.
__device__ inline void end_turn(uint32* counter, uint32 turn) {
  __syncwarp();
  if (threadIdx.x % kWarp == 0)
    asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(counter), "r"(turn + 1) : "memory");
}

/// *to += x, without waiting for it.
__device__ inline void add_in_turn(float* to, float x) {
  asm volatile("red.global.add.f32 [%0], %1;" ::"l"(to), "f"(x) : "memory");
}

}  // namespace fovea::cuda
