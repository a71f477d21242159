#pragma once

#include "kernels/cuda/warp.h"

// Blocks that add to the same memory one after another, in an order of their own. A counter in global memory,
// 0 at first, says whose turn it is.

namespace fovea::cuda {

struct Turn {
  uint32* counter;
  uint32 number;

  /// How many turns are over by now: asked for ahead of wait(), so that nobody waits for the answer.
  __device__ uint32 over() const {
    uint32 turns;
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(turns) : "l"(counter) : "memory");
    return turns;
  }
  /// Returns to all lanes of the warp once the turns before this one are over; `over` is what over() said
  /// before. Whoever has one of these turns must be running already.
  ///
  /// What may follow are strong writes that hang on the branch taken here, such as SumsInMemory's: they are
  /// made where memory is one for all multiprocessors, after those of the turns before, which were there when
  /// the counter was. That rests on devices not writing ahead of a branch: the memory model of PTX wants a
  /// fence here, which cost an H100 a tenth of the kernel's time. For reads there would have to be one.
  __device__ void wait(uint32 over) const {
    if (this_lane() == 0)
      while (over != number) over = this->over();
    __syncwarp();
  }
  /// Ends the turn: by one thread, after a barrier behind all the block's additions, which are seen by
  /// whoever sees the next turn.
  __device__ void end() const {
    asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(counter), "r"(number + 1) : "memory");
  }
};

}  // namespace fovea::cuda
