#include "kernels/cuda/partial_rows.h"
#include "kernels/cuda/rows.h"
#include "kernels/matmul/backends.h"

namespace fovea::cuda {
namespace {

// A block takes 128 columns of one part of the rows, each of its 8 warps every eighth row, a lane 4
// neighbouring columns.
constexpr int kRowLanes = 8, kLaneColumns = 4, kBlockColumns = kWarp * kLaneColumns;

/// Rows of one part, by their number alone; 64 parts at most.
int64 part_rows(int64 N) { return std::max<int64>(32, round_up(ceil_div(N, 64), kRowLanes)); }
int64 parts_of(const SumRows& op) { return ceil_div(op.dy.size(0), part_rows(op.dy.size(0))); }

/// sums (parts, C): of each part of dy's rows.
template <class T>
__global__ void __launch_bounds__(kRowLanes* kWarp)
    sum_part(Rows<T> dy, int64 N, int64 C, int64 rows_per_part, bool aligned, float* sums) {
  __shared__ float warps[kRowLanes][kBlockColumns];
  const int64 block = int64{blockIdx.x} * kBlockColumns, column = block + threadIdx.x * kLaneColumns;
  const int64 begin = blockIdx.y * rows_per_part, end = min(N, begin + rows_per_part);
  Piece<kLaneColumns> sum{};
  if (column < C) {
#pragma unroll 4
    for (int64 n = begin + threadIdx.y; n < end; n += kRowLanes)
      sum += load_piece<kLaneColumns>(dy[n], column, C, aligned);
  }
  store_whole(&warps[threadIdx.y][threadIdx.x * kLaneColumns], sum);
  __syncthreads();
  // each thread adds up one column of the block's, warp after warp
  const int thread = static_cast<int>(threadIdx.y * kWarp + threadIdx.x);
  if (thread >= kBlockColumns || block + thread >= C) return;
  float total = 0;
#pragma unroll
  for (int warp = 0; warp < kRowLanes; ++warp) total += warps[warp][thread];
  sums[blockIdx.y * C + block + thread] = total;
}

}  // namespace

int64 add_rows_scratch(const SumRows& op) { return parts_of(op) * op.dy.size(1) * int64{sizeof(float)}; }

void add_rows(Execution& execution, const SumRows& op, std::byte* scratch) {
  const int64 N = op.dy.size(0), C = op.dy.size(1), parts = parts_of(op);
  auto* sums = reinterpret_cast<float*>(scratch);  // (parts, C)
  const dim3 grid(static_cast<unsigned>(ceil_div(C, kBlockColumns)), static_cast<unsigned>(parts));
  with_storage(op.dy.dtype(), [&]<class T>() {
    launch(execution, "sum_rows", {grid, dim3(kWarp, kRowLanes)}, sum_part<T>, Rows<T>(op.dy), N, C,
           part_rows(N), pieces_aligned(kLaneColumns, op.dy), sums);
  });
  add_partial_rows(execution, sums, parts, C, op.dbias.data<float>());
}

int64 scratch_bytes(const SumRows& op) { return scratch_size<std::byte>(add_rows_scratch(op)); }

void run(Execution& execution, const SumRows& op) {
  add_rows(execution, op, execution.scratch<std::byte>(add_rows_scratch(op)));
}

}  // namespace fovea::cuda
