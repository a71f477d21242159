#pragma once

#include <cstdint>

namespace softgpu {

/// The card that programs see: no real one, with the sizes of compute capability 8.0 (CUDA programming guide,
/// "Technical specifications per compute capability").
struct Device {
  static constexpr const char* name = "softgpu (PTX interpreter)";
  static constexpr int major = 8, minor = 0;
  static constexpr int warp = 32;
  static constexpr int threads_per_block = 1024;
  static constexpr int threads_per_multiprocessor = 2048;
  static constexpr int blocks_per_multiprocessor = 32;
  static constexpr int registers_per_multiprocessor = 65536;  // and of a block
  static constexpr int register_unit = 256;                   // a warp's registers come in these
  static constexpr int shared_per_block = 48 << 10;
  static constexpr int shared_reserved_per_block = 1 << 10;
  static constexpr int shared_unit = 128;
  static constexpr int constant_bytes = 64 << 10;
  static constexpr int l2_bytes = 40 << 20;
  static constexpr int grid_x = 0x7FFFFFFF, grid_y = 65535, grid_z = 65535;
  static constexpr int block_x = 1024, block_y = 1024, block_z = 64;
  static constexpr int clock_khz = 1'000'000, memory_clock_khz = 1'000'000, memory_bus_bits = 5120;

  int count = 1;                            // SOFTGPU_DEVICES: 0 looks like a machine without a card
  int multiprocessors = 108;                // SOFTGPU_SMS: results may not depend on it
  int shared_per_block_opt_in = 163 << 10;  // SOFTGPU_SHARED_KB: 99 is what cards of 8.6, 8.9 and 12.0 have
  int shared_per_multiprocessor() const { return shared_per_block_opt_in + shared_reserved_per_block; }
};

const Device& device();

}  // namespace softgpu
