#include <type_traits>

#include "kernels/cuda/last_block.h"
#include "kernels/cuda/rows.h"
#include "kernels/matmul/backends.h"

namespace fovea::cuda {
namespace {

// A block takes the columns of one warp in one part of the rows, each of its warps every eighth row, a lane
// 16 bytes of it.
constexpr int kRowLanes = 8, kAhead = 8;  // rows that a warp loads at once
constexpr int kFour = 4;                  // columns of sums that a thread loads at once
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

template <class T, class Aligned>
struct SumParts {
  Rows<T> dy;  // (N, C)
  int64 N, C, rows_per_part;
  Aligned aligned;
  float* sums;       // (parts, C), where there are several
  uint32* counters;  // one for each strip of columns
  float* target;     // (C)

  /// How sums lie to pieces of kFour.
  __device__ Aligned sums_aligned() const {
    if constexpr (std::is_same_v<Aligned, AllWhole>)
      return {};
    else
      return C % kFour == 0;
  }
};

/// Adds up a column of sums (lanes, kColumns), lane after lane.
template <int kLanes, int kColumns>
__device__ inline float sum_of_lanes(const float (&sums)[kRowLanes][kColumns], int column) {
  float sum = 0;
#pragma unroll
  for (int lane = 0; lane < kLanes; ++lane) sum += sums[lane][column];
  return sum;
}

/// What this thread has of dy's rows in the block's part: every eighth row.
template <class T, class Aligned>
__device__ inline Piece<kLaneColumns<T>> sum_of_rows(const SumParts<T, Aligned>& p, int64 column) {
  constexpr int kColumns = kLaneColumns<T>;
  const int64 begin = blockIdx.y * p.rows_per_part, end = min(p.N, begin + p.rows_per_part);
  Piece<kColumns> sum{};
  int64 n = begin + threadIdx.y;
  for (; n + (kAhead - 1) * kRowLanes < end; n += kAhead * kRowLanes) {
    Piece<kColumns> ahead[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i)
      ahead[i] = load_piece<kColumns>(p.dy[n + i * kRowLanes], column, p.C, p.aligned);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) sum += ahead[i];
  }
  for (; n < end; n += kRowLanes) sum += load_piece<kColumns>(p.dy[n], column, p.C, p.aligned);
  return sum;
}

/// The sums of each part; the last block of a strip of columns adds them up, part after part in each of its
/// groups of threads, and to the target.
template <class T, class Aligned>
__global__ void __launch_bounds__(kRowLanes* kWarp, kBlocksAtOnce<Aligned>)
    sum_rows_kernel(SumParts<T, Aligned> p) {
  constexpr int kColumns = kBlockColumns<T>;
  constexpr int kFours = kColumns / kFour, kGroups = kRowLanes * kWarp / kFours;
  static_assert(kGroups <= kRowLanes);
  __shared__ alignas(16) float lanes[kRowLanes][kColumns];
  const int64 block = int64{blockIdx.x} * kColumns, column = block + threadIdx.x * kLaneColumns<T>;
  Piece<kLaneColumns<T>> of_rows{};
  if (column < p.C) of_rows = sum_of_rows(p, column);
  store_whole(&lanes[threadIdx.y][threadIdx.x * kLaneColumns<T>], of_rows);
  __syncthreads();
  const int thread = static_cast<int>(threadIdx.y * kWarp + threadIdx.x);
  const bool owns = thread < kColumns && block + thread < p.C;  // a column, to whose sum it comes in the end
  float* target = p.target + block + thread;
  const float sum = owns ? sum_of_lanes<kRowLanes>(lanes, thread) : 0;
  if (gridDim.y == 1) {
    if (owns) *target += sum;
    return;
  }
  if (owns) p.sums[blockIdx.y * p.C + block + thread] = sum;
  if (!is_last_block(p.counters + blockIdx.x, gridDim.y)) return;
  const float before = owns ? *target : 0;
  const int64 four = block + thread % kFours * kFour;
  Piece<kFour> of_parts{};
  if (four < p.C) {
#pragma unroll 8
    for (int64 part = thread / kFours; part < gridDim.y; part += kGroups)
      of_parts += load_piece<kFour>(p.sums + part * p.C, four, p.C, p.sums_aligned());
  }
  store_whole(&lanes[thread / kFours][thread % kFours * kFour], of_parts);
  __syncthreads();
  if (owns) *target = before + sum_of_lanes<kGroups>(lanes, thread);
}

}  // namespace

int64 add_rows_scratch(const SumRows& op) { return parts_of(op) * op.dy.size(1) * int64{sizeof(float)}; }

void add_rows(Execution& execution, const SumRows& op, std::byte* scratch) {
  const int64 N = op.dy.size(0), C = op.dy.size(1);
  const dim3 grid(static_cast<unsigned>(strips_of(op)), static_cast<unsigned>(parts_of(op)));
  with_storage(op.dy.dtype(), [&]<class T>() {
    const auto run_aligned = [&](auto aligned) {
      const SumParts<T, decltype(aligned)> parts{Rows<T>(op.dy),
                                                 N,
                                                 C,
                                                 part_rows(op),
                                                 aligned,
                                                 reinterpret_cast<float*>(scratch),
                                                 execution.queue().counters(strips_of(op)),
                                                 op.dbias.data<float>()};
      launch(execution, "sum_rows", {grid, dim3(kWarp, kRowLanes)}, sum_rows_kernel<T, decltype(aligned)>,
             parts);
    };
    with_alignment(kLaneColumns<T>, run_aligned, op.dy);
  });
}

int64 scratch_bytes(const SumRows& op) { return scratch_size<std::byte>(add_rows_scratch(op)); }

void run(Execution& execution, const SumRows& op) {
  add_rows(execution, op, execution.scratch<std::byte>(add_rows_scratch(op)));
}

}  // namespace fovea::cuda
