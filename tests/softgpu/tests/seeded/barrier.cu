// Barriers that not everybody reaches.

#include "tests/seeded/seeded.h"

namespace seeded {
namespace {

constexpr int kThreads = 128;

// Half of every warp stands at a barrier of its own (ggml-org/llama.cpp #27678: results were right).
template <bool Bug>
__global__ void half_a_warp(const float* in, float* out) {
  __shared__ float tile[kThreads];
  if (Bug && threadIdx.x % 32 < 16) {
    tile[threadIdx.x] = in[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = tile[threadIdx.x ^ 1] + 1;
  } else {
    tile[threadIdx.x] = in[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = tile[threadIdx.x ^ 1];
  }
}

bool run_half_a_warp(bool bug) {
  const Buffer<float> from(std::vector<float>(kThreads, 3.0f)), to(kThreads);
  SEEDED_LAUNCH(half_a_warp, bug, 1, kThreads, 0, from.data(), to.data());
  return to.values() == std::vector<float>(kThreads, 3.0f);
}

// A barrier inside a loop of which threads of one warp make unequal numbers of rounds.
template <bool Bug>
__global__ void uneven_rounds(const int* rounds, float* out) {
  __shared__ float sum;
  if (threadIdx.x == 0) sum = 0;
  __syncthreads();
  const int mine = Bug ? rounds[threadIdx.x] : 4;
  for (int i = 0; i < mine; ++i) {
    if (threadIdx.x == 0) sum += 1;
    __syncthreads();
  }
  out[threadIdx.x] = sum;
}

bool run_uneven_rounds(bool bug) {
  std::vector<int> rounds(kThreads);
  for (int i = 0; i < kThreads; ++i) rounds[i] = 1 + i % 4;
  const Buffer<int> from(rounds);
  const Buffer<float> to(kThreads);
  SEEDED_LAUNCH(uneven_rounds, bug, 1, kThreads, 0, from.data(), to.data());
  return to.values() == std::vector<float>(kThreads, 4.0f);
}

__device__ void named_barrier(int name, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(name), "r"(threads) : "memory");
}

// Two groups of warps meet at a named barrier, and one of them has its number wrong: both wait for ever.
template <bool Bug>
__global__ void two_names(const float* in, float* out) {
  __shared__ float tile[kThreads];
  tile[threadIdx.x] = in[threadIdx.x];
  if (threadIdx.x < 64) {
    named_barrier(1, kThreads);
  } else {
    named_barrier(Bug ? 2 : 1, kThreads);
  }
  out[threadIdx.x] = tile[kThreads - 1 - threadIdx.x];
}

bool run_two_names(bool bug) {
  const Buffer<float> from(std::vector<float>(kThreads, 3.0f)), to(kThreads);
  SEEDED_LAUNCH(two_names, bug, 1, kThreads, 0, from.data(), to.data());
  return to.values() == std::vector<float>(kThreads, 3.0f);
}

// A barrier of 64 threads, where all 128 share the data.
template <bool Bug>
__global__ void too_few(const float* in, float* out) {
  __shared__ float tile[kThreads];
  tile[threadIdx.x] = 0;
  __syncthreads();
  tile[threadIdx.x] = in[threadIdx.x];
  named_barrier(Bug ? 1 + static_cast<int>(threadIdx.x) / 64 : 1, Bug ? 64 : kThreads);
  out[threadIdx.x] = tile[kThreads - 1 - threadIdx.x];
}

bool run_too_few(bool bug) {
  const Buffer<float> from(std::vector<float>(kThreads, 3.0f)), to(kThreads);
  SEEDED_LAUNCH(too_few, bug, 1, kThreads, 0, from.data(), to.data());
  return to.values() == std::vector<float>(kThreads, 3.0f);
}

// Half of the block waits for the other half, which has left.
template <bool Bug>
__global__ void waits_for_nobody(float* out) {
  out[threadIdx.x] = 1;
  if (threadIdx.x < 64) named_barrier(1, Bug ? kThreads : 64);
}

bool run_waits_for_nobody(bool bug) {
  const Buffer<float> to(kThreads);
  SEEDED_LAUNCH(waits_for_nobody, bug, 1, kThreads, 0, to.data());
  return to.values() == std::vector<float>(kThreads, 1.0f);
}

}  // namespace

std::vector<Case> barrier_cases() {
  return {{"barrier_in_half_a_warp", "divergent barrier", run_half_a_warp},
          {"barrier_in_uneven_rounds", "divergent barrier", run_uneven_rounds},
          {"barriers_of_two_names", "divergent barrier", run_two_names},
          {"barrier_that_others_never_reach", "divergent barrier|deadlock", run_waits_for_nobody},
          {"barrier_of_too_few_threads", "race", run_too_few}};
}

}  // namespace seeded
