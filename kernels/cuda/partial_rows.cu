#include "kernels/cuda/partial_rows.h"

#include "kernels/cuda/launch.h"

namespace fovea::cuda {
namespace {

constexpr int kColumns = 8,
              kMostLanes = 128;  // a block's columns: 32 bytes of each part; threads that share them

__global__ void __launch_bounds__(kColumns* kMostLanes)
    add_partial_rows_kernel(const float* partial, int64 parts, int64 C, float* target) {
  __shared__ float sums[kMostLanes][kColumns];
  const int64 c = int64{blockIdx.x} * kColumns + threadIdx.x;
  float sum = 0;
  if (c < C)
    for (int64 part = threadIdx.y; part < parts; part += blockDim.y) sum += partial[part * C + c];
  sums[threadIdx.y][threadIdx.x] = sum;
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.y < half) sums[threadIdx.y][threadIdx.x] += sums[threadIdx.y + half][threadIdx.x];
  }
  if (threadIdx.y == 0 && c < C) target[c] += sums[0][threadIdx.x];
}

}  // namespace

void add_partial_rows(const Execution& execution, const float* partial, int64 parts, int64 C, float* target) {
  if (parts == 0) return;
  unsigned lanes = 4;  // a power of two: of a whole warp at least
  while (lanes < kMostLanes && lanes < parts) lanes *= 2;
  const dim3 grid(static_cast<unsigned>(ceil_div(C, kColumns)));
  launch(execution, "add_partial_rows", {grid, dim3(kColumns, lanes)}, add_partial_rows_kernel, partial,
         parts, C, target);
}

}  // namespace fovea::cuda
