#include "runtime/seam.h"

#include "runtime/handles.h"
#include "runtime/status.h"
#include "runtime/streams.h"

extern "C" {

softgpu::GlobalMemory* softgpu_global_memory() { return &softgpu::global_memory(); }

cudaError_t softgpu_enqueue(cudaStream_t handle, const std::function<void()>* work) {
  return softgpu::call([&] {
    const auto stream = softgpu::stream_of(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    softgpu::streams().enqueue(stream, *work);
    return cudaSuccess;
  });
}

}  // extern "C"
