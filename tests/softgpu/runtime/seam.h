#pragma once

// What libcudart.so.13 gives to libcublasLt.so.13 beside CUDA's own functions.

#include <cuda_runtime_api.h>

#include <functional>

#include "memory/global_memory.h"

extern "C" {

softgpu::GlobalMemory* softgpu_global_memory();
/// Runs `work` in the stream, when its turn comes; it may throw softgpu::Fault.
cudaError_t softgpu_enqueue(cudaStream_t stream, const std::function<void()>* work);
}
