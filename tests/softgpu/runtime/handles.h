#pragma once

#include <cuda_runtime_api.h>

#include <memory>

#include "runtime/streams.h"

namespace softgpu {

/// The stream that a program means: 0 and cudaStreamLegacy are the legacy default stream. Null if there is
/// none.
inline std::shared_ptr<Stream> stream_of(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) return streams().legacy();
  if (handle == cudaStreamPerThread) return streams().per_thread();
  return streams().find(handle);
}

}  // namespace softgpu
