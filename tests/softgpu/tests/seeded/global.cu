// Bugs in the use of global memory.

#include <cstdint>

#include "tests/seeded/seeded.h"

namespace seeded {
namespace {

constexpr int kThreads = 128;

// The tile is loaded whole, and only what is stored knows where the array ends.
template <bool Bug>
__global__ void scale(const float* in, float* out, int n) {
  __shared__ float tile[kThreads];
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  tile[threadIdx.x] = Bug || i < n ? in[i] : 0.0f;
  __syncthreads();
  if (i < n) out[i] = tile[threadIdx.x] + tile[threadIdx.x ^ 1];
}

bool run_tail_load(bool bug) {
  constexpr int kCount = 200;
  const Buffer<float> from(std::vector<float>(kCount, 1.0f)), to(kCount);
  SEEDED_LAUNCH(scale, bug, 2, kThreads, 0, from.data(), to.data(), kCount);
  return to.values() == std::vector<float>(kCount, 2.0f);
}

template <bool Bug>
__global__ void fill(float* out, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (Bug ? i <= n : i < n) out[i] = 1;
}

bool run_write_past_end(bool bug) {
  constexpr int kCount = 200;
  const Buffer<float> to(kCount);
  SEEDED_LAUNCH(fill, bug, 2, kThreads, 0, to.data(), kCount);
  return to.values() == std::vector<float>(kCount, 1.0f);
}

// 128 rows of a batch of many: the product of row and stride does not fit in 32 bits (FlashAttention #1500,
// #2611).
template <bool Bug>
__global__ void far_row(uint8_t* out, int row, int stride) {
  const int64_t index = Bug ? static_cast<int64_t>(row * stride) : static_cast<int64_t>(row) * stride;
  out[index + threadIdx.x] = 1;
}

bool run_far_row(bool bug) {
  constexpr int kStride = 1 << 20, kRows = 3000;
  const Buffer<uint8_t> to(static_cast<size_t>(kStride) * kRows);
  SEEDED_LAUNCH(far_row, bug, 1, kThreads, 0, to.data(), kRows - 1, kStride);
  uint8_t got = 0;
  cudaMemcpy(&got, to.data() + static_cast<size_t>(kRows - 1) * kStride + kThreads - 1, 1,
             cudaMemcpyDeviceToHost);
  return got == 1;
}

// Semaphores and sums in a workspace that nobody cleared (FlashAttention #1839).
__global__ void count_blocks(int* counter) {
  if (threadIdx.x == 0) atomicAdd(counter, 1);
}

bool run_uncleared_workspace(bool bug) {
  const Buffer<int> counter(1);
  if (!bug) cudaMemset(counter.data(), 0, sizeof(int));
  count_blocks<<<8, 32>>>(counter.data());
  return counter.values()[0] == 8;
}

// LSE of padding rows is not written, and the backward pass multiplies it by zero (tile-ai/tilelang #2461).
template <bool Bug>
__global__ void padded_rows(const float* lse, float* out, int rows) {
  const int i = static_cast<int>(threadIdx.x);
  const float value = Bug || i < rows ? lse[i] : 0.0f;
  out[i] = (i < rows ? 1.0f : 0.0f) * value;
}

__global__ void write_rows(float* lse, int rows) {
  if (static_cast<int>(threadIdx.x) < rows) lse[threadIdx.x] = 1;
}

bool run_padded_rows(bool bug) {
  constexpr int kRows = 100;
  const Buffer<float> lse(kThreads), to(kThreads);
  write_rows<<<1, kThreads>>>(lse.data(), kRows);
  SEEDED_LAUNCH(padded_rows, bug, 1, kThreads, 0, lse.data(), to.data(), kRows);
  const auto got = to.values();
  return got[kRows - 1] == 1 && got[kRows] == 0;
}

// Blocks add to one place without an atomic operation.
template <bool Bug>
__global__ void total(const float* in, float* out) {
  if (threadIdx.x != 0) return;
  if (Bug) {
    *out += in[blockIdx.x];
  } else {
    atomicAdd(out, in[blockIdx.x]);
  }
}

bool run_blocks_add(bool bug) {
  const Buffer<float> from(std::vector<float>(8, 1.0f)), to(std::vector<float>{0});
  SEEDED_LAUNCH(total, bug, 8, 32, 0, from.data(), to.data());
  return to.values()[0] == 8;
}

// The block after reads what the block before wrote in the same launch.
template <bool Bug>
__global__ void neighbour(float* data) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  data[i] = static_cast<float>(i);
  if (Bug && blockIdx.x > 0) data[i] += data[i - static_cast<int>(blockDim.x)];
}

bool run_neighbour(bool bug) {
  const Buffer<float> data(4 * kThreads);
  SEEDED_LAUNCH(neighbour, bug, 4, kThreads, 0, data.data());
  return data.values() == counting(4 * kThreads);
}

// Two blocks write the same row: an off-by-one in how rows are dealt out.
template <bool Bug>
__global__ void overlapping_rows(float* out, int rows_per_block) {
  const int first = static_cast<int>(blockIdx.x) * rows_per_block;
  const int i = first + static_cast<int>(threadIdx.x);
  if (static_cast<int>(threadIdx.x) < rows_per_block + (Bug && blockIdx.x == 0 ? 1 : 0)) out[i] = 1;
}

bool run_overlapping_rows(bool bug) {
  const Buffer<float> to(64);
  SEEDED_LAUNCH(overlapping_rows, bug, 2, kThreads, 0, to.data(), 32);
  return to.values() == std::vector<float>(64, 1.0f);
}

// Gradients take the logits' place while another thread still reads the target's logit (llm.c,
// fused_classifier).
template <bool Bug>
__global__ void classifier(float* logits, float* loss, int target) {
  const float mine = logits[threadIdx.x];
  const float targets = logits[target];
  if (!Bug) __syncthreads();
  logits[threadIdx.x] = mine - (static_cast<int>(threadIdx.x) == target ? 1.0f : 0.0f);
  if (threadIdx.x == 0) *loss = -targets;
}

bool run_classifier(bool bug) {
  const Buffer<float> logits(counting(kThreads)), loss(1);
  SEEDED_LAUNCH(classifier, bug, 1, kThreads, 0, logits.data(), loss.data(), 100);
  return loss.values()[0] == -100 && logits.values()[100] == 99;
}

// A block hands its result to the last one to arrive, which adds them up: the fence is what makes it whole.
template <bool Bug>
__global__ void last_block_adds(const float* in, float* parts, int* arrived, float* out) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    parts[blockIdx.x] = in[blockIdx.x];
    if (!Bug) __threadfence();
    last = atomicAdd(arrived, 1) == static_cast<int>(gridDim.x) - 1;
    if (!Bug) __threadfence();
  }
  __syncthreads();
  if (last && threadIdx.x == 0) {
    float sum = 0;
    for (unsigned i = 0; i < gridDim.x; ++i) sum += parts[i];
    *out = sum;
  }
}

bool run_last_block_adds(bool bug) {
  const Buffer<float> from(std::vector<float>(8, 1.0f)), parts(8), to(1);
  const Buffer<int> arrived(std::vector<int>{0});
  SEEDED_LAUNCH(last_block_adds, bug, 8, 32, 0, from.data(), parts.data(), arrived.data(), to.data());
  return to.values()[0] == 8;
}

bool run_freed(bool bug) {
  float* in = nullptr;
  cudaMalloc(&in, kThreads * sizeof(float));
  cudaMemset(in, 0, kThreads * sizeof(float));
  const Buffer<float> to(kThreads);
  if (bug) cudaFree(in);
  scale<false><<<1, kThreads>>>(in, to.data(), kThreads);
  cudaDeviceSynchronize();
  if (!bug) cudaFree(in);
  return to.values() == std::vector<float>(kThreads, 0.0f);
}

// A view that starts at the second element is read four at a time.
template <bool Bug>
__global__ void vectors(const float* in, float* out) {
  const float4 four = *reinterpret_cast<const float4*>(in + (Bug ? 1 : 0) + 4 * threadIdx.x);
  out[threadIdx.x] = four.x + four.w;
}

bool run_vectors(bool bug) {
  const Buffer<float> from(std::vector<float>(kThreads * 4 + 4, 1.0f)), to(kThreads);
  SEEDED_LAUNCH(vectors, bug, 1, kThreads, 0, from.data(), to.data());
  return to.values() == std::vector<float>(kThreads, 2.0f);
}

// A thread's own array, indexed past its end.
template <bool Bug>
__global__ void local_array(const int* index, float* out) {
  float values[8];
  for (int i = 0; i < 8; ++i) values[i] = static_cast<float>(i);
  values[index[threadIdx.x] & 7] += 1;
  out[threadIdx.x] = values[index[threadIdx.x] + (Bug ? 1 << 16 : 0)];
}

bool run_local_array(bool bug) {
  const Buffer<int> index(std::vector<int>(kThreads, 3));
  const Buffer<float> to(kThreads);
  SEEDED_LAUNCH(local_array, bug, 1, kThreads, 0, index.data(), to.data());
  return to.values() == std::vector<float>(kThreads, 4.0f);
}

}  // namespace

std::vector<Case> global_cases() {
  return {{"unpredicated_tail_load", "out of bounds", run_tail_load},
          {"write_past_the_end", "out of bounds", run_write_past_end},
          {"row_times_stride_in_32_bits", "out of bounds", run_far_row},
          {"workspace_not_cleared", "uninitialised", run_uncleared_workspace},
          {"padding_rows_not_written", "uninitialised", run_padded_rows},
          {"blocks_add_without_atomics", "race", run_blocks_add},
          {"reads_what_another_block_writes", "race", run_neighbour},
          {"two_blocks_write_one_row", "race", run_overlapping_rows},
          {"logits_overwritten_while_read", "race", run_classifier},
          {"handed_to_another_block_without_a_fence", "race", run_last_block_adds},
          {"read_of_freed_memory", "out of bounds", run_freed},
          {"misaligned_vector_in_global_memory", "misaligned", run_vectors},
          {"local_array_past_its_end", "out of bounds", run_local_array}};
}

}  // namespace seeded
