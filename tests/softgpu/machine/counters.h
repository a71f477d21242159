#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

namespace softgpu {

/// What an instruction is counted as.
enum class Kind : uint8_t {
  integer,
  floating,
  half,
  convert,
  compare,
  move,
  mma,
  ldmatrix,
  shared_load,
  shared_store,
  global_load,
  global_store,
  async_copy,
  local_memory,
  parameter,
  atomic,
  shuffle,
  barrier,
  branch,
  special,
  count
};
const char* name(Kind kind);

/// Transactions of one kind of access, and what as many distinct bytes need at least.
struct Traffic {
  uint64_t accesses = 0;  // of a warp
  uint64_t actual = 0;    // shared memory: wavefronts of 128 B; global memory: sectors of 32 B
  uint64_t ideal = 0;
  uint64_t bytes = 0;  // asked for by threads
  void add(const Traffic& other);
};

/// What all launches of one kernel came to.
struct KernelCounters {
  uint64_t launches = 0, blocks = 0, warp_instructions = 0, thread_instructions = 0;
  uint64_t block_threads = 0, dynamic_shared_bytes = 0;  // the most that a launch had and asked for
  std::array<uint64_t, static_cast<size_t>(Kind::count)> threads_by_kind{};
  uint64_t mma_flops = 0;
  Traffic shared_loads, shared_stores, global_loads, global_stores;
  void add(const KernelCounters& other);
};

using Counters = std::map<std::string, KernelCounters>;  // by the kernel's name

/// One object per kernel, by name.
std::string to_json(const Counters& counters);

}  // namespace softgpu
