#pragma once

#include "core/types.h"

// Copies from global to shared memory that pass no register (cp.async). They belong to the thread that asked:
// after wait_copies, a barrier makes them visible to the others.

namespace fovea::cuda {

__device__ inline uint32 shared_address(const void* pointer) {
  return static_cast<uint32>(__cvta_generic_to_shared(pointer));
}

/// 16 bytes, both sides aligned to them; zeros where there is nothing to read, `from` being any address then.
__device__ inline void copy_async_16(uint32 to, const void* from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(there ? 16 : 0)
               : "memory");
}

/// Makes one group of the copies asked for since the last.
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Waits until no more than so many groups of this thread are on their way.
template <int Groups>
__device__ inline void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Groups) : "memory");
}

}  // namespace fovea::cuda
