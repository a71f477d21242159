#include "kernels/attention/cuda/statistics.h"

#include "kernels/attention/cuda/blocks.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/math.h"
#include "kernels/cuda/warp.h"

namespace fovea::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kRowLanes = 8, kRowsAtOnce = kThreads / kRowLanes;

struct PrepareArguments {
  DeviceProblem problem;
  TileCut queries;
  DeviceTensor out, dout, lse;
  const float* sink;
  float lse_factor;
  RowStatistics to;
  float* dsink_shares;
};

// The sum over a row's elements of a * b that lanes of the row come to together; 16 bytes at a time or
// single.
template <class T, bool Vectors>
__device__ float row_product(const T* a, const T* b, int elements, int lane) {
  float sum = 0;
  if constexpr (Vectors) {
    for (int d = lane * 8; d < elements; d += kRowLanes * 8) {
      const uint4 x = *reinterpret_cast<const uint4*>(a + d), y = *reinterpret_cast<const uint4*>(b + d);
      const uint32 xs[] = {x.x, x.y, x.z, x.w}, ys[] = {y.x, y.y, y.z, y.w};
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        sum = fmaf(first_of<T>(xs[n]), first_of<T>(ys[n]), sum);
        sum = fmaf(second_of<T>(xs[n]), second_of<T>(ys[n]), sum);
      }
    }
  } else {
    for (int d = lane; d < elements; d += kRowLanes) sum = fmaf(to_f32(a[d]), to_f32(b[d]), sum);
  }
  return group_sum<kRowLanes>(sum);
}

// One block per head and tile of queries.
template <class T, bool Vectors>
__global__ void __launch_bounds__(kThreads) prepare_kernel(PrepareArguments x) {
  const int tile = static_cast<int>(blockIdx.x) % x.queries.count;
  const int head = static_cast<int>(blockIdx.x) / x.queries.count;
  const TileStart start = x.queries.tile(tile);
  const DeviceSequence sequence = x.problem.sequence(start.sequence);
  const int slot = x.queries.first_slot(start.sequence, sequence.q_first) + start.row / x.queries.rows;
  const int64 place = RowStatistics::place(x.queries, head, slot);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kRowLanes;
  float dsink = 0;
  for (int r = thread / kRowLanes; r < x.queries.rows; r += kRowsAtOnce) {
    const int i = sequence.q_first + start.row + r;
    const bool there = start.row + r < sequence.q_len;
    // delta = sum of dout * out = sum over keys of probability * dprobability
    const float delta = row_product<T, Vectors>(x.dout.at<const T>(sequence.batch, i, head),
                                                x.out.at<const T>(sequence.batch, i, head),
                                                there ? x.problem.v_dim : 0, lane);
    float lse = kInfinity;
    if (there) {
      lse = *x.lse.at<const float>(sequence.batch, i, head);
      if (x.sink) dsink -= expf(x.sink[head] - lse) * delta;
      if (lse == -kInfinity) lse = kInfinity;
    }
    if (lane == 0) {
      x.to.lse[place + r] = lse * x.lse_factor;
      x.to.delta[place + r] = delta;
    }
  }
  if (!x.sink) return;
  // Over the rows at once, in an order that is always the same.
  __shared__ float shares[kRowsAtOnce];
  if (lane == 0) shares[thread / kRowLanes] = dsink;
  __syncthreads();
  if (thread == 0) {
    float sum = 0;
    for (const float share : shares) sum += share;
    x.dsink_shares[int64{head} * x.queries.count + tile] = sum;
  }
}

// One block per head.
__global__ void __launch_bounds__(kThreads)
    dsink_kernel(const float* shares, int tiles, float* dsink, bool accumulate) {
  const int head = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
  float sum = 0;
  for (int n = thread; n < tiles; n += kThreads) sum += shares[int64{head} * tiles + n];
  sum = warp_sum(sum);
  __shared__ float sums[kThreads / kWarp];
  if (thread % kWarp == 0) sums[thread / kWarp] = sum;
  __syncthreads();
  if (thread != 0) return;
  float total = accumulate ? dsink[head] : 0;
  for (const float x : sums) total += x;
  dsink[head] = total;
}

template <class T>
void launch_prepare(const Execution& execution, const AttentionBackward& op, const PrepareArguments& x) {
  const LaunchShape shape{blocks(int64{x.queries.count} * x.problem.q_heads), kThreads};
  if constexpr (sizeof(T) == 2) {
    if (rows_of_16_bytes(op.out) && rows_of_16_bytes(op.dout))
      return launch(execution, "attention_prepare_rows", shape, prepare_kernel<T, true>, x);
  }
  launch(execution, "attention_prepare_rows", shape, prepare_kernel<T, false>, x);
}

}  // namespace

TileCut cut_tiles(const AttentionProblem& problem, Side side, const DocumentTables& tables, int rows) {
  const int64 length = side == Side::queries ? problem.q_len : problem.kv_len;
  const int64 per_sequence = ceil_div(length, int64{rows});
  TileCut cut{.rows = rows, .per_sequence = static_cast<int>(per_sequence)};
  const bool documents = problem.mask.documents != nullptr;
  const int64 count = documents ? tables.tiles() : problem.batch * per_sequence;
  const int64 slots = documents ? length / rows + problem.mask.documents->count() : count;
  FOVEA_CHECK(slots <= INT32_MAX, "attention: {} tiles", slots);
  cut.count = static_cast<int>(count);
  cut.slots = static_cast<int>(slots);
  return cut;
}

void prepare_rows(const Execution& execution, const AttentionBackward& op, const DeviceProblem& problem,
                  const TileCut& queries, float lse_factor, const RowStatistics& to, float* dsink_shares) {
  const PrepareArguments x{.problem = problem,
                           .queries = queries,
                           .out = device_tensor(op.out),
                           .dout = device_tensor(op.dout),
                           .lse = device_statistics(op.lse),
                           .sink = op.dsink ? op.sink.data<float>() : nullptr,
                           .lse_factor = lse_factor,
                           .to = to,
                           .dsink_shares = dsink_shares};
  switch (op.problem.dtype) {
    case DType::bf16:
      return launch_prepare<Bf16>(execution, op, x);
    case DType::f16:
      return launch_prepare<F16>(execution, op, x);
    default:
      return launch_prepare<float>(execution, op, x);
  }
}

void sum_dsink(const Execution& execution, const AttentionBackward& op, const TileCut& queries,
               const float* shares) {
  if (!op.dsink) return;
  launch(execution, "attention_dsink", {blocks(op.problem.q_heads), kThreads}, dsink_kernel, shares,
         queries.count, op.dsink.data<float>(), op.accumulate);
}

}  // namespace fovea::cuda
