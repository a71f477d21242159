#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "machine/counters.h"
#include "ptx/module.h"

namespace softgpu {

struct Machine;
struct Op;

/// Does `op` for the lanes of `mask`, which is never 0.
using Handler = void (*)(Machine& machine, const Op& op, uint32_t mask);

/// What the loop over instructions does beside calling a handler.
enum class Control : uint8_t { plain, branch, indexed_branch, exit, call, block_barrier, converge, aligned };

/// A decoded instruction. Registers are byte offsets into a warp's register file, destinations first, in the
/// order in which the PTX writes them, vectors flattened.
struct Op {
  Handler run = nullptr;
  Control control = Control::plain;
  Kind kind = Kind::special;
  ptx::Space space = ptx::Space::generic;
  uint8_t bytes = 0;          // of one memory access, all elements of a vector together
  bool synchronises = false;  // an atomic or volatile access: no race with another such
  bool acquires = false, releases = false;
  bool wide_address = true;  // the address register has 64 bits
  int32_t guard = -1;        // register
  uint32_t guard_flip = 0;   // all ones: @!p
  uint32_t r[15] = {};
  uint32_t target = 0;  // a branch; of an indexed branch: of Program::targets, count in imm
  int64_t imm = 0;      // an address's offset, a look-up table
  int64_t imm2 = 0;     // a second offset; of what lanes do together: the register of its members
  const ptx::Instruction* source = nullptr;
};

/// A register whose value is known before the first instruction.
struct Preset {
  uint32_t offset = 0;
  uint32_t width = 4;
  uint64_t bits = 0;
  std::string special;  // %tid.x: by lane, in place of bits
};

/// A kernel ready to run. Functions that it calls are part of it: each has registers of its own (no
/// recursion).
struct Program {
  const ptx::Module* module = nullptr;
  const ptx::Kernel* kernel = nullptr;
  std::vector<Op> ops;
  std::vector<const ptx::Function*> function_of;  // per op
  std::vector<uint32_t> targets;
  std::vector<Preset> presets;
  uint32_t register_bytes = 0;
  uint32_t local_bytes = 0;  // per lane
  ptx::SharedLayout shared;
  uint32_t shared_granule = 2;  // log2 of the smallest access to shared memory
  uint32_t global_granule = 2;  // and of that to global memory
  bool orders = false;          // there is a fence, or an access that acquires or releases
  std::vector<uint64_t> warp_counts, thread_counts;  // per op, since the last launch began
};

}  // namespace softgpu
