// Bugs around cp.async, ldmatrix and swizzles.

#include <cstdint>

#include "tests/seeded/seeded.h"

namespace seeded {
namespace {

constexpr int kThreads = 64;

__device__ uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}
// 16 bytes, of which `bytes` come from memory and the rest are zeros.
__device__ void copy_async(void* to, const void* from, int bytes = 16) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
               "r"(bytes)
               : "memory");
}
__device__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int Left>
__device__ void wait_all_but() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Left) : "memory");
}

// Tiles of four floats per thread, two stages in flight; each thread sums the tile that its neighbour copied.
enum class Pipeline { right, short_wait, no_wait, no_barrier_after_wait, no_barrier_before_refill };

template <Pipeline P>
__global__ void pipeline(const float* in, float* out, int tiles) {
  __shared__ __align__(16) float stage[2][kThreads * 4];
  const auto fetch = [&](int tile) {
    copy_async(&stage[tile % 2][threadIdx.x * 4], in + (tile * kThreads + threadIdx.x) * 4);
    commit();
  };
  for (int i = 0; i < 8; ++i) stage[i / 4][threadIdx.x * 4 + i % 4] = 0;
  __syncthreads();
  fetch(0);
  float sum = 0;
  for (int t = 0; t < tiles; ++t) {
    if (t + 1 < tiles) {
      fetch(t + 1);
      if (P != Pipeline::no_wait) wait_all_but<P == Pipeline::short_wait ? 2 : 1>();
    } else {
      if (P != Pipeline::no_wait) wait_all_but<0>();
    }
    if (P != Pipeline::no_barrier_after_wait) __syncthreads();
    const float* const tile = stage[t % 2] + (threadIdx.x + 32) % kThreads * 4;
    sum += tile[0] + tile[1] + tile[2] + tile[3];
    if (P != Pipeline::no_barrier_before_refill) __syncthreads();
  }
  out[threadIdx.x] = sum;
}

template <Pipeline Wrong>
bool run_pipeline(bool bug) {
  constexpr int kTiles = 5;
  const Buffer<float> from(std::vector<float>(kTiles * kThreads * 4, 0.5f)), to(kThreads);
  if (bug) {
    pipeline<Wrong><<<1, kThreads>>>(from.data(), to.data(), kTiles);
  } else {
    pipeline<Pipeline::right><<<1, kThreads>>>(from.data(), to.data(), kTiles);
  }
  return to.values() == std::vector<float>(kThreads, 2.0f * kTiles);
}

// The last rows do not exist: with a size of 0 nothing is read and zeros arrive.
template <bool Bug>
__global__ void tail_copy(const float* in, float* out, int rows) {
  __shared__ __align__(16) float tile[kThreads * 4];
  const int row = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  copy_async(&tile[threadIdx.x * 4], in + (Bug || row < rows ? row * 4 : 0), Bug || row < rows ? 16 : 0);
  commit();
  wait_all_but<0>();
  __syncthreads();
  out[row] = tile[threadIdx.x * 4] + tile[threadIdx.x * 4 + 3];
}

bool run_tail_copy(bool bug) {
  constexpr int kRows = 100;
  const Buffer<float> from(std::vector<float>(kRows * 4, 1.0f)), to(2 * kThreads);
  SEEDED_LAUNCH(tail_copy, bug, 2, kThreads, 0, from.data(), to.data(), kRows);
  const auto got = to.values();
  for (int i = 0; i < 2 * kThreads; ++i) {
    if (got[i] != (i < kRows ? 2.0f : 0.0f)) return false;
  }
  return true;
}

__device__ uint32_t load_matrix(const void* row) {
  uint32_t d;
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(d) : "r"(shared_address(row)));
  return d;
}

// A row of 8 halves at an address that is no multiple of 16.
template <bool Bug>
__global__ void matrix_rows(uint32_t* out) {
  __shared__ __align__(16) uint16_t tile[8 * 8 + 8];
  for (int i = static_cast<int>(threadIdx.x); i < 72; i += 32) tile[i] = static_cast<uint16_t>(i);
  __syncthreads();
  out[threadIdx.x] = load_matrix(tile + threadIdx.x % 8 * 8 + (Bug ? 4 : 0));
}

bool run_matrix_rows(bool bug) {
  const Buffer<uint32_t> to(32);
  SEEDED_LAUNCH(matrix_rows, bug, 1, 32, 0, to.data());
  const auto got = to.values();
  for (uint32_t lane = 0; lane < 32; ++lane) {
    if (got[lane] != (2 * lane | (2 * lane + 1) << 16)) return false;
  }
  return true;
}

// Some lanes have left: ldmatrix wants all of the warp.
template <bool Bug>
__global__ void matrix_of_some(uint32_t* out) {
  __shared__ __align__(16) uint16_t tile[8 * 8];
  for (int i = static_cast<int>(threadIdx.x); i < 64; i += 32) tile[i] = static_cast<uint16_t>(i);
  __syncwarp();
  out[threadIdx.x] = 0;
  if (!Bug || threadIdx.x < 24) out[threadIdx.x] = load_matrix(tile + threadIdx.x % 8 * 8);
}

bool run_matrix_of_some(bool bug) {
  const Buffer<uint32_t> to(32);
  SEEDED_LAUNCH(matrix_of_some, bug, 1, 32, 0, to.data());
  return to.values()[31] == (62u | 63u << 16);
}

}  // namespace

std::vector<Case> async_cases() {
  return {
      {"short_wait_group", "pending copy", run_pipeline<Pipeline::short_wait>},
      {"no_wait_for_copies", "pending copy", run_pipeline<Pipeline::no_wait>},
      {"missing_barrier_after_wait", "pending copy|race", run_pipeline<Pipeline::no_barrier_after_wait>},
      {"stage_refilled_while_read", "pending copy|race", run_pipeline<Pipeline::no_barrier_before_refill>},
      {"tail_of_copies_without_size", "out of bounds", run_tail_copy},
      {"ldmatrix_row_misaligned", "misaligned", run_matrix_rows},
      {"ldmatrix_of_some_lanes", "inactive lane", run_matrix_of_some}};
}

}  // namespace seeded
