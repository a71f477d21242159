#include "kernels/cuda/partial_rows.h"
#include "kernels/cuda/rows.h"
#include "kernels/matmul/backends.h"

namespace fovea::cuda {
namespace {

// A block takes the columns of one warp in one part of the rows, each of its warps every eighth row, a lane
// 16 bytes of it.
constexpr int kRowLanes = 8, kAhead = 8;  // rows that a warp loads at once
template <class T>
constexpr int kLaneColumns = kPieceWidth<T>;
template <class T>
constexpr int kBlockColumns = kWarp* kLaneColumns<T>;

int64 strips_of(const SumRows& op) {
  return ceil_div(op.dy.size(1), op.dy.dtype() == DType::f32 ? kBlockColumns<float> : kBlockColumns<Bf16>);
}
/// Rows of one part, by the shape alone: some 512 blocks, as many as are there at once on most devices, of at
/// least one load of all their warps.
int64 part_rows(const SumRows& op) {
  constexpr int64 kBlocks = 512, kLeast = kRowLanes * kAhead;
  return std::max(kLeast, round_up(ceil_div(op.dy.size(0) * strips_of(op), kBlocks), kLeast));
}
int64 parts_of(const SumRows& op) { return ceil_div(op.dy.size(0), part_rows(op)); }

/// Blocks that a multiprocessor is to hold: not more, or ptxas uses each load before it asks for the next.
template <class Aligned>
constexpr int kBlocksAtOnce = std::is_same_v<Aligned, AllWhole> ? 4 : 2;

/// sums (parts, C): of each part of dy's rows.
template <class T, class Aligned>
__global__ void __launch_bounds__(kRowLanes* kWarp, kBlocksAtOnce<Aligned>)
    sum_part(Rows<T> dy, int64 N, int64 C, int64 rows_per_part, Aligned aligned, float* sums) {
  constexpr int kColumns = kLaneColumns<T>;
  __shared__ float warps[kRowLanes][kBlockColumns<T>];
  const int64 block = int64{blockIdx.x} * kBlockColumns<T>, column = block + threadIdx.x * kColumns;
  const int64 begin = blockIdx.y * rows_per_part, end = min(N, begin + rows_per_part);
  Piece<kColumns> sum{};
  if (column < C) {
    int64 n = begin + threadIdx.y;
    for (; n + (kAhead - 1) * kRowLanes < end; n += kAhead * kRowLanes) {
      Piece<kColumns> ahead[kAhead];
#pragma unroll
      for (int i = 0; i < kAhead; ++i)
        ahead[i] = load_piece<kColumns>(dy[n + i * kRowLanes], column, C, aligned);
#pragma unroll
      for (int i = 0; i < kAhead; ++i) sum += ahead[i];
    }
    for (; n < end; n += kRowLanes) sum += load_piece<kColumns>(dy[n], column, C, aligned);
  }
  store_whole(&warps[threadIdx.y][threadIdx.x * kColumns], sum);
  __syncthreads();
  // each thread adds up a column of the block's, warp after warp
  const int thread = static_cast<int>(threadIdx.y * kWarp + threadIdx.x);
  if (thread >= kBlockColumns<T> || block + thread >= C) return;
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
  const dim3 grid(static_cast<unsigned>(strips_of(op)), static_cast<unsigned>(parts));
  with_storage(op.dy.dtype(), [&]<class T>() {
    const auto run_aligned = [&](auto aligned) {
      launch(execution, "sum_rows", {grid, dim3(kWarp, kRowLanes)}, sum_part<T, decltype(aligned)>,
             Rows<T>(op.dy), N, C, part_rows(op), aligned, sums);
    };
    with_alignment(kLaneColumns<T>, run_aligned, op.dy);
  });
  add_partial_rows(execution, {sums, parts, C}, C, op.dbias.data<float>());
}

int64 scratch_bytes(const SumRows& op) { return scratch_size<std::byte>(add_rows_scratch(op)); }

void run(Execution& execution, const SumRows& op) {
  add_rows(execution, op, execution.scratch<std::byte>(add_rows_scratch(op)));
}

}  // namespace fovea::cuda
