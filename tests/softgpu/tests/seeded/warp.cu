// Bugs within a warp.

#include <cstdint>

#include "tests/seeded/seeded.h"

namespace seeded {
namespace {

// The mask names lanes that do not take part.
template <bool Bug>
__global__ void shuffle_in_branch(const float* in, float* out) {
  float value = in[threadIdx.x];
  if (threadIdx.x < 16) value += __shfl_xor_sync(Bug ? 0xFFFFFFFF : 0xFFFF, value, 1);
  out[threadIdx.x] = value;
}

bool run_shuffle_in_branch(bool bug) {
  const Buffer<float> from(std::vector<float>(32, 1.0f)), to(32);
  SEEDED_LAUNCH(shuffle_in_branch, bug, 1, 32, 0, from.data(), to.data());
  const auto got = to.values();
  return got[0] == 2 && got[31] == 1;
}

// A reduction over a block whose last warp is not full.
template <bool Bug>
__global__ void last_warp(const float* in, float* out, int n) {
  const int i = static_cast<int>(threadIdx.x);
  if (Bug && i >= n) return;
  float value = i < n ? in[i] : 0.0f;
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(0xFFFFFFFF, value, offset);
  if (i % 32 == 0) out[i / 32] = value;
}

bool run_last_warp(bool bug) {
  const Buffer<float> from(std::vector<float>(40, 1.0f)), to(2);
  SEEDED_LAUNCH(last_warp, bug, 1, 64, 0, from.data(), to.data(), 40);
  const auto got = to.values();
  return got[0] == 32 && got[1] == 8;
}

__device__ void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// A tile is skipped by some lanes of a warp, not by all.
template <bool Bug>
__global__ void skipped_tile(const int* visible, float* out) {
  float d[4] = {};
  const uint32_t ones = 0x3F803F80;
  const uint32_t a[4] = {ones, ones, ones, ones}, b[2] = {ones, ones};
  const bool mine = visible[Bug ? threadIdx.x : 0] != 0;
  if (mine) multiply(d, a, b);
  out[threadIdx.x] = d[0];
}

bool run_skipped_tile(bool bug) {
  std::vector<int> visible(32, 1);
  visible[7] = 0;
  const Buffer<int> from(visible);
  const Buffer<float> to(32);
  SEEDED_LAUNCH(skipped_tile, bug, 1, 32, 0, from.data(), to.data());
  return to.values() == std::vector<float>(32, 16.0f);
}

template <bool Bug>
__global__ void impossible(const int* in, int* out) {
  if (Bug && in[threadIdx.x] > 0) __trap();
  out[threadIdx.x] = in[threadIdx.x];
}

bool run_impossible(bool bug) {
  const Buffer<int> from(std::vector<int>(32, 1)), to(32);
  SEEDED_LAUNCH(impossible, bug, 1, 32, 0, from.data(), to.data());
  return to.values() == std::vector<int>(32, 1);
}

}  // namespace

std::vector<Case> warp_cases() {
  return {{"shuffle_mask_of_absent_lanes", "inactive lane", run_shuffle_in_branch},
          {"shuffle_after_lanes_have_left", "inactive lane", run_last_warp},
          {"mma_of_some_lanes", "inactive lane", run_skipped_tile},
          {"trap", "trap", run_impossible}};
}

}  // namespace seeded
