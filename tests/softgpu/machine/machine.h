#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "machine/grid.h"
#include "machine/lanes.h"
#include "machine/op.h"

namespace softgpu {

// Generic addresses of what is not global memory: no address of a process is as high.
constexpr uint64_t kSharedWindow = uint64_t{1} << 62;
constexpr uint64_t kLocalWindow = uint64_t{2} << 62;
constexpr uint64_t kParameterWindow = uint64_t{3} << 62;
constexpr uint64_t kWindowBytes = uint64_t{1} << 32;

/// Lanes of a warp that are at one instruction.
struct Group {
  uint32_t pc = 0;
  uint32_t mask = 0;
  bool waits = false;  // for other lanes, at an instruction that lanes do together
};

/// What lanes of a warp have asked cp.async for, and what has not landed of it.
struct PendingCopy {
  uint32_t mask = 0;
  uint32_t bytes = 0;
  uint32_t group[kLanes];        // of the lane's groups: the number that it was committed, or will be, as
  uint32_t destination[kLanes];  // in shared memory
  std::byte data[kLanes][16];
};

struct Warp {
  enum class State : uint8_t { ready, at_barrier, done };
  uint32_t index = 0;
  uint32_t born = 0;  // lanes that exist
  uint32_t live = 0;  // and have not exited
  State state = State::ready;
  const Op* barrier = nullptr;  // where it waits
  std::byte* registers = nullptr;
  std::byte* local = nullptr;  // Program::local_bytes per lane
  uint32_t carry = 0;          // of add.cc, per lane
  std::vector<Group> groups;   // of live lanes
  std::vector<uint32_t> returns[kLanes];
  std::vector<PendingCopy> copies;  // the first copies_used
  size_t copies_used = 0;
  uint32_t committed[kLanes] = {};
};

class BlockClock;
class SharedMemory;
class LaunchOrder;
class GlobalShadow;
class BankCounter;

/// A launch as it runs: handlers see the warp whose turn it is.
struct Machine {
  Program* program = nullptr;
  const Launch* launch = nullptr;
  GlobalMemory* memory = nullptr;
  BlockClock* clock = nullptr;
  LaunchOrder* order = nullptr;
  GlobalShadow* global = nullptr;
  SharedMemory* shared = nullptr;
  BankCounter* banks = nullptr;
  KernelCounters* counters = nullptr;
  Warp* warp = nullptr;
  std::vector<Warp> warps;
  uint64_t block = 0;  // number of the block in the grid
  Dim3 block_index;

  template <class T>
  T* reg(uint32_t offset) const {
    return reinterpret_cast<T*>(warp->registers + offset);
  }
  uint32_t& predicate(uint32_t offset) const { return *reg<uint32_t>(offset); }
  void set_predicate(uint32_t offset, uint32_t mask, uint32_t bits) const {
    uint32_t& flags = predicate(offset);
    flags = (flags & ~mask) | (bits & mask);
  }
  /// Where and what: kernel, block, thread of `lane` (-1: the warp), PTX line, source line.
  [[noreturn]] void fault(const Op& op, int lane, std::string_view kind, std::string_view text) const;
};

}  // namespace softgpu
