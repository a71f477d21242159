// Bugs in the use of shared memory.

#include <algorithm>

#include "tests/seeded/seeded.h"

namespace seeded {
namespace {

constexpr int kThreads = 128;

// Every thread reads what another one wrote. Without the barrier the numbers may well be right.
template <bool Bug>
__global__ void reverse(const float* in, float* out) {
  __shared__ float tile[kThreads];
  tile[threadIdx.x] = 0;
  __syncthreads();
  tile[threadIdx.x] = in[threadIdx.x];
  if (!Bug) __syncthreads();
  out[threadIdx.x] = tile[kThreads - 1 - threadIdx.x];
}

bool run_reverse(bool bug) {
  const auto in = counting(kThreads);
  const Buffer<float> from(in), to(kThreads);
  SEEDED_LAUNCH(reverse, bug, 1, kThreads, 0, from.data(), to.data());
  auto expected = in;
  std::reverse(expected.begin(), expected.end());
  return to.values() == expected;
}

// The next tile is stored while other warps still read this one.
template <bool Bug>
__global__ void sum_tiles(const float* in, float* out, int tiles) {
  __shared__ float tile[kThreads];
  float sum = 0;
  for (int t = 0; t < tiles; ++t) {
    tile[threadIdx.x] = in[t * kThreads + threadIdx.x];
    __syncthreads();
    for (int i = 0; i < kThreads; ++i) sum += tile[i];
    if (!Bug) __syncthreads();
  }
  out[threadIdx.x] = sum;
}

bool run_sum_tiles(bool bug) {
  const Buffer<float> from(std::vector<float>(4 * kThreads, 1.0f)), to(kThreads);
  SEEDED_LAUNCH(sum_tiles, bug, 1, kThreads, 0, from.data(), to.data(), 4);
  return to.values() == std::vector<float>(kThreads, 4.0f * kThreads);
}

// Two block reductions through the same scratch: the second starts before all have read the first one's
// result (FlashAttention's and many softmax kernels' classic).
template <bool Bug>
__global__ void two_reductions(const float* in, float* out) {
  __shared__ float part[kThreads / 32];
  const auto reduce = [&](float value) {
    for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(0xFFFFFFFF, value, offset);
    if (!Bug) __syncthreads();
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = value;
    __syncthreads();
    float total = 0;
    for (int i = 0; i < kThreads / 32; ++i) total += part[i];
    return total;
  };
  const float sum = reduce(in[threadIdx.x]);
  out[threadIdx.x] = reduce(in[threadIdx.x] / sum);
}

bool run_two_reductions(bool bug) {
  const Buffer<float> from(std::vector<float>(kThreads, 2.0f)), to(kThreads);
  SEEDED_LAUNCH(two_reductions, bug, 1, kThreads, 0, from.data(), to.data());
  return to.values() == std::vector<float>(kThreads, 1.0f);
}

// The epilogue puts its result through shared memory that slower warps still read, which shows only when
// warps have uneven work (tile-ai/TileOPs #1633).
template <bool Bug>
__global__ void uneven_epilogue(const float* in, float* out) {
  __shared__ float tile[kThreads];
  tile[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  const int rounds = threadIdx.x / 32 + 1;
  float sum = 0;
  for (int r = 0; r < rounds; ++r) sum += tile[(threadIdx.x + r * 32) % kThreads];
  if (!Bug) __syncthreads();
  tile[threadIdx.x] = sum;
  __syncthreads();
  out[threadIdx.x] = tile[threadIdx.x ^ 1];
}

bool run_uneven_epilogue(bool bug) {
  const Buffer<float> from(std::vector<float>(kThreads, 1.0f)), to(kThreads);
  SEEDED_LAUNCH(uneven_epilogue, bug, 1, kThreads, 0, from.data(), to.data());
  std::vector<float> expected(kThreads);
  for (int i = 0; i < kThreads; ++i) expected[i] = static_cast<float>(i / 32 + 1);
  return to.values() == expected;
}

// One row too far: past the end of the array.
template <bool Bug>
__global__ void transpose(const float* in, float* out) {
  constexpr int kPitch = 33;
  __shared__ float tile[32 * kPitch];
  tile[threadIdx.y * kPitch + threadIdx.x] = in[threadIdx.y * 32 + threadIdx.x];
  __syncthreads();
  out[threadIdx.y * 32 + threadIdx.x] = tile[(threadIdx.x + (Bug ? 1 : 0)) * kPitch + threadIdx.y];
}

bool run_transpose(bool bug) {
  const Buffer<float> from(counting(1024)), to(1024);
  SEEDED_LAUNCH(transpose, bug, 1, dim3(32, 32), 0, from.data(), to.data());
  const auto got = to.values();
  for (int i = 0; i < 1024; ++i) {
    if (got[i] != static_cast<float>(i % 32 * 32 + i / 32)) return false;
  }
  return true;
}

// V's tile lies behind K's in dynamic shared memory, and its offset is counted in bytes, not in elements:
// what is read was never written.
template <bool Bug>
__global__ void second_tile(const float* in, float* out) {
  extern __shared__ float pool[];
  float* const k = pool;
  float* const v = pool + kThreads;
  k[threadIdx.x] = in[threadIdx.x];
  v[threadIdx.x] = 2 * in[threadIdx.x];
  __syncthreads();
  const float* const read = Bug ? pool + kThreads * sizeof(float) : v;
  out[threadIdx.x] = read[threadIdx.x] + k[threadIdx.x];
}

bool run_second_tile(bool bug) {
  const Buffer<float> from(counting(kThreads)), to(kThreads);
  SEEDED_LAUNCH(second_tile, bug, 1, kThreads, 8 * kThreads * sizeof(float), from.data(), to.data());
  const auto got = to.values();
  for (int i = 0; i < kThreads; ++i) {
    if (got[i] != static_cast<float>(3 * i)) return false;
  }
  return true;
}

// A vector of 16 bytes at an address of 4.
template <bool Bug>
__global__ void vector_read(const float* in, float* out) {
  __shared__ __align__(16) float tile[kThreads + 4];
  tile[threadIdx.x] = in[threadIdx.x];
  if (threadIdx.x < 4) tile[kThreads + threadIdx.x] = 0;
  __syncthreads();
  const float4 four = *reinterpret_cast<const float4*>(tile + (threadIdx.x & ~3) + (Bug ? 1 : 0));
  out[threadIdx.x] = four.x + four.y + four.z + four.w;
}

bool run_vector_read(bool bug) {
  const Buffer<float> from(std::vector<float>(kThreads, 1.0f)), to(kThreads);
  SEEDED_LAUNCH(vector_read, bug, 1, kThreads, 0, from.data(), to.data());
  return to.values() == std::vector<float>(kThreads, 4.0f);
}

}  // namespace

std::vector<Case> shared_cases() {
  return {{"missing_barrier", "race", run_reverse},
          {"missing_barrier_before_the_next_tile", "race", run_sum_tiles},
          {"scratch_reused_without_barrier", "race", run_two_reductions},
          {"epilogue_without_barrier_and_uneven_warps", "race", run_uneven_epilogue},
          {"shared_row_too_far", "out of bounds", run_transpose},
          {"wrong_offset_in_dynamic_shared_memory", "uninitialised", run_second_tile},
          {"misaligned_vector_in_shared_memory", "misaligned", run_vector_read}};
}

}  // namespace seeded
