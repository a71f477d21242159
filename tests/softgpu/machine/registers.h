#pragma once

#include <cstdint>
#include <vector>

#include "ptx/module.h"

namespace softgpu {

/// Gives every register of the function a place in a warp's register file, from `bytes` on, which is raised
/// to its end. PTX names thousands of registers, each written once: those that are never needed at the same
/// time share a place, so that a warp's file stays in the processor's cache. A destination never shares with
/// what its instruction reads.
std::vector<uint32_t> place_registers(const ptx::Function& function, uint32_t& bytes);

}  // namespace softgpu
