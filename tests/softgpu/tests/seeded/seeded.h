#pragma once

// Kernels with a bug in them, and the same kernels without it. Each bug is one that was met in the field or
// that a careful reviewer would look for; the interpreter has to name it.

#include <cuda_runtime.h>

#include <cstddef>
#include <vector>

namespace seeded {

struct Case {
  const char* name;
  /// The kind of fault that the bug raises; "" where nothing faults, but results are wrong.
  const char* fault;
  /// Runs the kernel with its bug, or its correct twin. Returns whether results are right.
  bool (*run)(bool bug);
};

std::vector<Case> shared_cases();
std::vector<Case> barrier_cases();
std::vector<Case> async_cases();
std::vector<Case> global_cases();
std::vector<Case> warp_cases();
std::vector<Case> host_cases();

/// A kernel of which only the counters see that its tile is not swizzled: tile_through_shared_memory.
bool run_swizzle(bool bug);

/// Device memory for the time of a case.
template <class T>
class Buffer {
 public:
  explicit Buffer(size_t count) : count_(count) { cudaMalloc(&data_, count * sizeof(T)); }
  explicit Buffer(const std::vector<T>& values) : Buffer(values.size()) {
    cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice);
  }
  ~Buffer() { cudaFree(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  T* data() const { return data_; }
  std::vector<T> values() const {
    std::vector<T> host(count_);
    cudaMemcpy(host.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost);
    return host;
  }

 private:
  size_t count_;
  T* data_ = nullptr;
};

/// 0, 1, 2, ...
inline std::vector<float> counting(size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i);
  return values;
}

/// Launches one of two instantiations.
#define SEEDED_LAUNCH(kernel, bug, grid, block, shared, ...) \
  (bug) ? kernel<true><<<grid, block, shared>>>(__VA_ARGS__) \
        : kernel<false><<<grid, block, shared>>>(__VA_ARGS__)

}  // namespace seeded
