#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "machine/counters.h"
#include "machine/fault.h"
#include "memory/global_memory.h"
#include "ptx/module.h"

namespace softgpu {

struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
};

struct Launch {
  const ptx::Module* module;
  const ptx::Kernel* kernel;
  Dim3 grid, block;
  uint32_t dynamic_shared_bytes;
  std::vector<std::byte> parameters;  // kernel->parameter_bytes of them, each at its Variable::offset
};

/// Throws Fault where the kernel has an instruction that the machine does not know, by name, or the launch is
/// not possible (threads, shared memory, size of parameters). run_grid does the same first.
void check_launch(const Launch& launch);

/// Runs every block of the grid to its end. Throws Fault at the first thing that is wrong; memory is then as
/// it was left. The module outlives every launch of it: what is decoded is kept by the kernel's address.
void run_grid(const Launch& launch, GlobalMemory& memory, Counters& counters);

}  // namespace softgpu
