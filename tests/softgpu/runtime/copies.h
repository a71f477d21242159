#pragma once

// Copies and fills: what they need to know of addresses on both sides.

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "runtime/streams.h"

namespace softgpu {

/// `height` rows of `width` bytes; one row: an ordinary copy.
struct Copy {
  void* to;
  const void* from;
  size_t width, height = 1;
  size_t to_pitch = 0, from_pitch = 0;  // bytes from row to row
};

/// Host memory that a card could read at any time: it is read when a copy runs. Of other host memory, a copy
/// takes what is there when it is enqueued (CUDA runtime API, "API synchronization behavior").
struct PinnedMemory {
  std::map<uint64_t, size_t> ranges;  // start -> bytes
  bool contains(const void* address, size_t bytes) const;
  /// The range of which `address` is the start or within; end() otherwise.
  std::map<uint64_t, size_t>::const_iterator range_of(const void* address) const;
};
PinnedMemory& pinned_memory();

bool on_device(const void* address);

/// Enqueues the copy after its addresses were judged; nothing is enqueued if the answer is not cudaSuccess. A
/// destination on the host holds 0xFF from now on until the copy has run, so that who looks too early sees
/// it.
cudaError_t enqueue_copy(const char* call, const Copy& copy, cudaMemcpyKind kind,
                         const std::shared_ptr<Stream>& stream);
/// The same for a fill of `height` rows.
cudaError_t enqueue_fill(const char* call, const Copy& rows, uint8_t value,
                         const std::shared_ptr<Stream>& stream);

}  // namespace softgpu
