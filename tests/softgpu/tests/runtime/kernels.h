#pragma once

#include <cstddef>

namespace softgpu {

/// Kernels as the runtime's calls know them.
const void* kernel_that_adds_one();        // (float* data)
const void* kernel_with_dynamic_shared();  // (float* data), 1 KiB of static shared memory
/// A variable of the device in constant memory, four floats, and a kernel that writes them to its argument.
const void* constant_variable();
const void* kernel_that_copies_constants();

}  // namespace softgpu
