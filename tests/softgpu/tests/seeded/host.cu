// Bugs of the host: what it does not wait for, and what it touches.

#include "tests/seeded/seeded.h"

namespace seeded {
namespace {

constexpr int kThreads = 128;
constexpr size_t kBytes = kThreads * sizeof(float);

__global__ void fill(float* out, float value) { out[threadIdx.x] = value; }
__global__ void twice(const float* in, float* out) { out[threadIdx.x] = 2 * in[threadIdx.x]; }

float* pinned() {
  float* memory = nullptr;
  cudaMallocHost(&memory, kBytes);
  for (int i = 0; i < kThreads; ++i) memory[i] = 0;
  return memory;
}

bool run_peek(bool bug) {
  float* const host = pinned();
  const Buffer<float> data(kThreads);
  cudaStream_t stream;
  cudaStreamCreate(&stream);
  fill<<<1, kThreads, 0, stream>>>(data.data(), 7);
  cudaMemcpyAsync(host, data.data(), kBytes, cudaMemcpyDeviceToHost, stream);
  if (!bug) cudaStreamSynchronize(stream);
  const bool right = host[0] == 7 && host[kThreads - 1] == 7;
  cudaStreamSynchronize(stream);
  cudaStreamDestroy(stream);
  cudaFreeHost(host);
  return right;
}

// Another stream starts before the first one's work is done.
bool run_no_event(bool bug) {
  const Buffer<float> data(kThreads), to(kThreads);
  cudaStream_t producer, consumer;
  cudaStreamCreateWithFlags(&producer, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&consumer, cudaStreamNonBlocking);
  cudaEvent_t done;
  cudaEventCreate(&done);
  fill<<<1, kThreads, 0, producer>>>(data.data(), 7);
  cudaEventRecord(done, producer);
  if (!bug) cudaStreamWaitEvent(consumer, done, 0);
  twice<<<1, kThreads, 0, consumer>>>(data.data(), to.data());
  cudaDeviceSynchronize();
  cudaEventDestroy(done);
  cudaStreamDestroy(producer);
  cudaStreamDestroy(consumer);
  return to.values() == std::vector<float>(kThreads, 14.0f);
}

// The next batch is written into pinned memory while the copy of this one is still to come.
bool run_reused_pinned(bool bug) {
  float* const host = pinned();
  const Buffer<float> data(kThreads);
  cudaStream_t stream;
  cudaStreamCreate(&stream);
  cudaMemcpyAsync(data.data(), host, kBytes, cudaMemcpyHostToDevice, stream);
  if (!bug) cudaStreamSynchronize(stream);
  for (int i = 0; i < kThreads; ++i) host[i] = 9;
  cudaStreamSynchronize(stream);
  const bool right = data.values() == std::vector<float>(kThreads, 0.0f);
  cudaStreamDestroy(stream);
  cudaFreeHost(host);
  return right;
}

// A stream of its own does not wait for the default stream, nor that for it.
bool run_default_stream(bool bug) {
  const Buffer<float> data(std::vector<float>(kThreads, 1.0f));
  cudaStream_t stream;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  fill<<<1, kThreads, 0, stream>>>(data.data(), 7);
  if (!bug) cudaStreamSynchronize(stream);
  std::vector<float> host(kThreads);
  cudaMemcpy(host.data(), data.data(), kBytes, cudaMemcpyDeviceToHost);
  cudaStreamDestroy(stream);
  return host == std::vector<float>(kThreads, 7.0f);
}

bool run_touch(bool bug) {
  const Buffer<float> data(std::vector<float>(kThreads, 1.0f));
  volatile const float* const first = data.data();
  return bug ? *first == 1 : data.values()[0] == 1;
}

// An instruction that the interpreter does not know is refused at launch.
template <bool Bug>
__global__ void unknown_opcode(int* out) {
  int value = static_cast<int>(threadIdx.x);
  if (Bug) asm volatile("mad24.lo.s32 %0, %0, %0, %0;" : "+r"(value));
  out[threadIdx.x] = value;
}

bool run_opcode(bool bug) {
  const Buffer<int> to(kThreads);
  SEEDED_LAUNCH(unknown_opcode, bug, 1, kThreads, 0, to.data());
  return to.values()[5] == 5;
}

}  // namespace

std::vector<Case> host_cases() {
  return {{"host_peeks_before_it_synchronises", "", run_peek},
          {"no_event_between_streams", "uninitialised", run_no_event},
          {"pinned_memory_reused_too_early", "", run_reused_pinned},
          {"default_stream_is_no_synchronisation", "", run_default_stream},
          {"host_touches_device_memory", "host access", run_touch},
          {"opcode_that_nobody_knows", "unsupported", run_opcode}};
}

}  // namespace seeded
