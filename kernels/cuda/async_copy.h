#pragma once

#include "core/types.h"

// Copies from global to shared memory that pass no register (cp.async). They belong to the thread that asked:
// after wait_copies, a barrier makes them visible to the others.

namespace fovea::cuda {

__device__ inline uint32 shared_address(const void* pointer) {
  return static_cast<uint32>(__cvta_generic_to_shared(pointer));
}

__device__ inline void store_shared(uint32 to, uint32 value) {
  asm volatile("st.shared.u32 [%0], %1;" ::"r"(to), "r"(value) : "memory");
}
__device__ inline uint4 load_shared(uint32 from) {
  uint4 value;
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "r"(from)
               : "memory");
  return value;
}

/// 16 bytes, both sides aligned to them; zeros where there is nothing to read: `from` is not looked at then.
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
