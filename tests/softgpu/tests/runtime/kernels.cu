#include "tests/runtime/kernels.h"

namespace softgpu {

namespace {

__constant__ float constants[4];

__global__ void add_one(float* data) { data[blockIdx.x * blockDim.x + threadIdx.x] += 1; }

__global__ void with_dynamic_shared(float* data) {
  extern __shared__ float dynamic[];
  __shared__ float fixed[256];
  fixed[threadIdx.x] = data[threadIdx.x];
  dynamic[threadIdx.x] = 2 * data[threadIdx.x];
  __syncthreads();
  data[threadIdx.x] = fixed[threadIdx.x ^ 1] + dynamic[threadIdx.x ^ 1];
}

__global__ void copy_constants(float* out) { out[threadIdx.x] = constants[threadIdx.x]; }

}  // namespace

const void* kernel_that_adds_one() { return reinterpret_cast<const void*>(add_one); }
const void* kernel_with_dynamic_shared() { return reinterpret_cast<const void*>(with_dynamic_shared); }
const void* constant_variable() { return constants; }
const void* kernel_that_copies_constants() { return reinterpret_cast<const void*>(copy_constants); }

}  // namespace softgpu
