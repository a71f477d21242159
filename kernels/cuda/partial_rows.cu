#include "kernels/cuda/partial_rows.h"

#include "kernels/cuda/launch.h"
#include "kernels/cuda/warp.h"

namespace fovea::cuda {
namespace {

constexpr int kColumns = 32, kLanes = 32;  // a block's columns, and the warps that share their parts

struct Targets {
  int64 C;
  float *first, *second;
  __device__ float* of(int64 column) const { return column < C ? first + column : second + (column - C); }
};

__global__ void __launch_bounds__(kColumns* kLanes)
    add_partial_rows_kernel(PartialRows partial, int64 columns, Targets targets) {
  __shared__ float sums[kLanes][kColumns + 1];  // + 1: read by columns without bank conflicts
  const int64 block = int64{blockIdx.x} * kColumns, column = block + threadIdx.x;
  // Each warp adds up one column in the end; what it adds to is on its way meanwhile.
  const bool adds = threadIdx.x == 0 && block + threadIdx.y < columns;
  float* target = adds ? targets.of(block + threadIdx.y) : nullptr;
  const float before = adds ? *target : 0.0f;
  float sum = 0;
  if (column < columns) {
    const float* from = partial.sums + column;
#pragma unroll 8
    for (int64 part = threadIdx.y; part < partial.parts; part += kLanes) sum += from[part * partial.stride];
  }
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  const float total = warp_sum(sums[threadIdx.x][threadIdx.y]);
  if (adds) *target = before + total;
}

}  // namespace

void add_partial_rows(const Execution& execution, const PartialRows& partial, int64 C, float* first,
                      float* second) {
  if (partial.parts == 0) return;
  const int64 columns = second ? 2 * C : C;
  const dim3 grid(static_cast<unsigned>(ceil_div(columns, kColumns)));
  launch(execution, "add_partial_rows", {grid, dim3(kColumns, kLanes)}, add_partial_rows_kernel, partial,
         columns, Targets{C, first, second});
}

}  // namespace fovea::cuda
