#pragma once

#include "core/types.h"

namespace fovea::cuda {

/// What this thread knows to be written others see before what it writes next, and the other way round: after
/// a read of theirs.
__device__ inline void device_fence() { asm volatile("fence.acq_rel.gpu;" ::: "memory"); }

/// Whether this block is the last of so many to come here: then it sees what the others wrote before they
/// did. All of its threads come, and each gets the same answer. The counter is 0 before the first block
/// comes, and after the last.
__device__ inline bool is_last_block(uint32* counter, uint32 blocks) {
  __shared__ bool last;
  __syncthreads();  // everything of this block is written
  if (threadIdx.x == 0 && threadIdx.y == 0) {
    device_fence();
    last = atomicInc(counter, blocks - 1) == blocks - 1;
    device_fence();
  }
  __syncthreads();
  return last;
}

}  // namespace fovea::cuda
