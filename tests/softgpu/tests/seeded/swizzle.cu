// A tile of 64 x 64 halves whose rows are read by ldmatrix: results are right with and without the swizzle,
// and only the count of wavefronts tells.

#include <cstdint>

#include "tests/seeded/seeded.h"

namespace seeded {
namespace {

constexpr int kRows = 64, kRowBytes = 128;

// Chunks of 16 bytes; rows of a multiple of 128 bytes begin at the same bank.
template <bool Swizzled>
__device__ int offset_of(int row, int chunk) {
  return row * kRowBytes + ((Swizzled ? chunk ^ row % 8 : chunk) * 16);
}

}  // namespace

template <bool Bug>
__global__ void tile_through_shared_memory(const uint4* in, uint32_t* out) {
  __shared__ __align__(128) unsigned char tile[kRows * kRowBytes];
  for (int i = static_cast<int>(threadIdx.x); i < kRows * 8; i += 32) {
    *reinterpret_cast<uint4*>(tile + offset_of<!Bug>(i / 8, i % 8)) = in[i];
  }
  __syncthreads();
  uint32_t sum = 0;
  for (int row = 0; row < kRows; row += 32) {
    for (int chunk = 0; chunk < 8; ++chunk) {
      const void* const mine = tile + offset_of<!Bug>(row + static_cast<int>(threadIdx.x), chunk);
      const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(mine));
      uint32_t d[4];
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                   : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                   : "r"(address));
      sum += d[0] + d[1] + d[2] + d[3];
    }
  }
  out[threadIdx.x] = sum;
}

bool run_swizzle(bool bug) {
  const Buffer<uint32_t> from(std::vector<uint32_t>(kRows * kRowBytes / 4, 1)), to(32);
  SEEDED_LAUNCH(tile_through_shared_memory, bug, 1, 32, 0, reinterpret_cast<const uint4*>(from.data()),
                to.data());
  return to.values() == std::vector<uint32_t>(32, 64);
}

}  // namespace seeded
