#include "kernels/cuda/launch.h"
#include "kernels/cuda/order_by_key.h"
#include "kernels/cuda/philox.h"
#include "kernels/cuda/rows.h"
#include "kernels/embedding/backends.h"

namespace fovea::cuda {
namespace {

constexpr int kWidth = 4;  // elements of a piece
constexpr int kThreads = 256;

template <class Table, class Out>
struct Forward {
  const int32 *tokens, *positions;  // (N) each; positions may be absent
  Rows<const Table> table;
  AnyRows position_table;
  Rows<Out> out;
  int64 vocabulary, last_position, columns, blocks_per_row;
  float scale;
  DeviceDropout dropout;
  bool aligned;
};

template <class Table, class Out>
__global__ void __launch_bounds__(kThreads) embedding_kernel(Forward<Table, Out> op) {
  const auto [n, c] = piece_place<kWidth>(op.blocks_per_row);
  if (c >= op.columns) return;
  const int64 token = op.tokens[n];
  if (token < 0 || token >= op.vocabulary) __trap();  // checked by whoever made the batch
  Piece<kWidth> sum = load_piece<kWidth>(op.table[token], c, op.columns, op.aligned);
#pragma unroll
  for (int i = 0; i < kWidth; ++i) sum[i] *= op.scale;
  if (op.positions) {
    const int64 position = op.positions[n];
    if (position < 0 || position >= op.last_position) __trap();
    sum += load_piece<kWidth>(op.position_table[position], c, op.columns, op.aligned);
  }
  if (op.dropout.drops()) drop(op.dropout, n * op.columns + c, sum);
  store_piece(op.out[n], c, op.columns, op.aligned, sum);
}

constexpr int kRun = 16;   // sorted rows that a block sums
constexpr int kAhead = 4;  // rows of dout that a thread reads before it adds them
constexpr int kLanes = 8;  // threads that share the sum of what blocks left

/// The sum over the rows of dout with equal keys, added to the key's row of the target. Rows are sorted by
/// key and cut into runs of kRun; a key whose rows lie in one run is summed and added there. Of others each
/// run leaves a part: `tails` of the run in which the key begins, `heads` of those in which it goes on, and a
/// second kernel adds them. So all blocks have the same to do, whatever the keys are, and the order of sums
/// is that of the rows.
struct KeyedSum {
  const int32 *keys, *order;  // (N) each
  AnyRows dout;
  AnyRows target;
  float *heads, *tails;  // (runs, C) each
  int N, runs, C, blocks_per_run;
  float scale;
  DeviceDropout dropout;
  bool aligned, parts_aligned;

  __device__ int key(int i) const { return keys[order[i]]; }
};

__device__ inline void add_to_target(const KeyedSum& op, int key, int c, const Piece<kWidth>& sum) {
  Piece<kWidth> row = load_piece<kWidth>(op.target[key], c, op.C, op.aligned);
#pragma unroll
  for (int i = 0; i < kWidth; ++i) row[i] = fmaf(op.scale, sum[i], row[i]);
  store_piece(op.target[key], c, op.C, op.aligned, row);
}

__global__ void __launch_bounds__(kThreads) sum_runs_kernel(KeyedSum op) {
  __shared__ int rows[kRun], keys[kRun + 2];  // keys of the run, the one before it and the one behind
  const auto blocks_per_run = static_cast<unsigned>(op.blocks_per_run);
  const int run = static_cast<int>(blockIdx.x / blocks_per_run);
  const int begin = run * kRun, count = min(kRun, op.N - begin);
  const int t = static_cast<int>(threadIdx.x);
  if (t < kRun + 2) {
    const int i = begin + t - 1;
    keys[t] = i >= 0 && i < op.N ? op.key(i) : -1;
    if (t >= 1 && t <= count) rows[t - 1] = op.order[i];
  }
  __syncthreads();
  const int c = (static_cast<int>(blockIdx.x % blocks_per_run * blockDim.x) + t) * kWidth;
  if (c >= op.C) return;
  Piece<kWidth> sum{};
  bool from_before = keys[0] == keys[1];
  for (int first = 0; first < count; first += kAhead) {
    Piece<kWidth> ahead[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i)
      if (first + i < count) ahead[i] = load_piece<kWidth>(op.dout[rows[first + i]], c, op.C, op.aligned);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int at = first + i;
      if (at >= count) break;
      // forward: out = dropout(scale * table[token] + position_table[position])
      if (op.dropout.drops()) drop(op.dropout, int64{rows[at]} * op.C + c, ahead[i]);
      sum += ahead[i];
      const int key = keys[at + 1];
      const bool ends = keys[at + 2] != key;
      if (!ends && at + 1 < count) continue;
      const auto part = int64{run} * op.C;
      if (from_before)
        store_piece(op.heads + part, c, op.C, op.parts_aligned, sum);
      else if (!ends)
        store_piece(op.tails + part, c, op.C, op.parts_aligned, sum);
      else
        add_to_target(op, key, c, sum);
      sum = {};
      from_before = false;
    }
  }
}

/// The key that goes on from this run to the next ones, if it begins here: its parts in order, shared by
/// kLanes threads.
__global__ void __launch_bounds__(kWarp* kLanes) join_runs_kernel(KeyedSum op) {
  __shared__ float shared[kLanes][kWidth][kWarp];
  const auto blocks_per_run = static_cast<unsigned>(op.blocks_per_run);
  const int run = static_cast<int>(blockIdx.x / blocks_per_run), begin = run * kRun, end = begin + kRun;
  if (end >= op.N) return;
  const int key = op.key(end);
  if (op.key(end - 1) != key || (begin > 0 && op.key(begin - 1) == key)) return;
  int last = run + 1, past = op.runs;  // the last run whose first key is this one: bisected, keys ascend
  while (past - last > 1) {
    const int middle = (last + past) / 2;
    (op.key(middle * kRun) == key ? last : past) = middle;
  }
  const int c =
      (static_cast<int>(blockIdx.x % blocks_per_run) * kWarp + static_cast<int>(threadIdx.x)) * kWidth;
  const int lane = static_cast<int>(threadIdx.y);
  Piece<kWidth> sum{};
  if (c < op.C) {
    if (lane == 0) sum = load_piece<kWidth>(op.tails + int64{run} * op.C, c, op.C, op.parts_aligned);
    for (int part = run + 1 + lane; part <= last; part += kLanes)
      sum += load_piece<kWidth>(op.heads + int64{part} * op.C, c, op.C, op.parts_aligned);
  }
#pragma unroll
  for (int i = 0; i < kWidth; ++i) shared[lane][i][threadIdx.x] = sum[i];
  __syncthreads();
  if (lane > 0 || c >= op.C) return;
  for (int other = 1; other < kLanes; ++other)
#pragma unroll
    for (int i = 0; i < kWidth; ++i) sum[i] += shared[other][i][threadIdx.x];
  add_to_target(op, key, c, sum);
}

/// Scratch of one KeyedSum.
struct KeyedScratch {
  int64 N, C, runs;

  KeyedScratch(int64 rows, int64 columns) : N(rows), C(columns), runs(ceil_div(rows, kRun)) {}
  int64 bytes() const {
    return scratch_size<int32>(N) + scratch_size<int32>(order_scratch(N)) + 2 * scratch_size<float>(runs * C);
  }
};

/// target[key[n]] += scale * dropout(dout[n]) for all n.
struct KeyedRows {
  View keys, dout, target;
  float scale;
  Dropout dropout;
};

void add_by_key(Execution& execution, const KeyedRows& op, const KeyedScratch& scratch, int32* memory) {
  const int64 N = scratch.N, C = scratch.C, runs = scratch.runs;
  if (N == 0 || C == 0) return;
  // Pieces of the one memory, as bytes() counts them.
  auto* order = memory;
  auto* sorting = order + scratch_size<int32>(N) / int64{sizeof(int32)};
  auto* heads =
      reinterpret_cast<float*>(sorting + scratch_size<int32>(order_scratch(N)) / int64{sizeof(int32)});
  auto* tails = heads + scratch_size<float>(runs * C) / int64{sizeof(float)};
  const auto* keys = op.keys.data<int32>();
  order_by_key(execution, keys, N, op.target.size(0), order, sorting);
  KeyedSum sum{keys,
               order,
               AnyRows(op.dout),
               AnyRows(op.target),
               heads,
               tails,
               static_cast<int>(N),
               static_cast<int>(runs),
               static_cast<int>(C),
               0,
               op.scale,
               DeviceDropout(op.dropout, C),
               pieces_aligned(kWidth, op.dout, op.target),
               C % kWidth == 0};
  const PieceGrid grid({runs, C}, kWidth);
  sum.blocks_per_run = static_cast<int>(grid.blocks_per_row);
  launch(execution, "embedding_backward: runs", grid.shape(), sum_runs_kernel, sum);
  sum.blocks_per_run = static_cast<int>(ceil_div(C, kWarp * kWidth));
  launch(execution, "embedding_backward: joins",
         {dim3(static_cast<unsigned>(runs * sum.blocks_per_run)), dim3(kWarp, kLanes)}, join_runs_kernel,
         sum);
}

}  // namespace

void run(Execution& execution, const Embedding& op) {
  const int64 N = op.out.size(0), C = op.out.size(1);
  const PieceGrid grid({N, C}, kWidth);
  with_storage(op.table.dtype(), op.out.dtype(), [&]<class Table, class Out>() {
    const Forward<Table, Out> forward{op.tokens.data<int32>(),
                                      op.position_table ? op.positions.data<int32>() : nullptr,
                                      Rows<const Table>(op.table),
                                      AnyRows(op.position_table),
                                      Rows<Out>(op.out),
                                      op.table.size(0),
                                      op.position_table ? op.position_table.size(0) : 0,
                                      C,
                                      grid.blocks_per_row,
                                      op.scale,
                                      DeviceDropout(op.dropout, C),
                                      pieces_aligned(kWidth, op.table, op.position_table, op.out)};
    launch(execution, "embedding", grid.shape(), embedding_kernel<Table, Out>, forward);
  });
}

int64 scratch_bytes(const EmbeddingBackward& op) {
  return KeyedScratch(op.dout.size(0), op.dout.size(1)).bytes();
}

void run(Execution& execution, const EmbeddingBackward& op) {
  const KeyedScratch scratch(op.dout.size(0), op.dout.size(1));
  auto* memory = execution.scratch<int32>(scratch.bytes() / int64{sizeof(int32)});
  // forward: out = dropout(scale * table[token] + position_table[position])
  add_by_key(execution, {op.tokens, op.dout, op.dtable, op.scale, op.dropout}, scratch, memory);
  if (op.dposition_table)
    add_by_key(execution, {op.positions, op.dout, op.dposition_table, 1.0f, op.dropout}, scratch, memory);
}

}  // namespace fovea::cuda
