#include <algorithm>

#include "kernels/attention/cuda/blocks.h"
#include "kernels/attention/cuda/passes.h"
#include "kernels/attention/cuda/simple_tile.h"
#include "kernels/attention/cuda/statistics.h"
#include "kernels/cuda/launch.h"

namespace fovea::cuda {
namespace simple {
namespace {

struct ForwardArguments {
  DeviceProblem problem;
  TileCut queries;
  int chunks;  // of v_dim, one block each
  DeviceTensor q, k, v, out, lse;
  const float* sink;
};

struct BackwardArguments {
  DeviceProblem problem;
  TileCut own, queries;  // the tiles that blocks own, and those that the statistics lie in
  int chunks;
  DeviceTensor q, k, v, dout, dq, dk, dv;
  RowStatistics statistics;
  bool accumulate;
};

// Which tile, head and columns a block owns.
struct Place {
  DeviceSequence sequence;
  int index, row, head, chunk;
  __device__ Place(const DeviceProblem& problem, const TileCut& tiles, int chunks) {
    const int block = static_cast<int>(blockIdx.x), unit = block / chunks;
    const TileStart start = tiles.tile(unit % tiles.count);
    index = start.sequence, row = start.row, head = unit / tiles.count, chunk = block % chunks;
    sequence = problem.sequence(start.sequence);
  }
};

template <class T>
__device__ Rows<T> rows_of(const DeviceTensor& x, int batch, int first, int head, Interval rows, int dim) {
  return {x.at<const T>(batch, first + rows.begin, head), x.row, rows.end - rows.begin, dim};
}

/// Which of its block's queries a thread works on, with kLanes - 1 others, and what is to be seen.
struct OwnQuery {
  int lane, i;    ///< among those that share the query; the query's row
  Interval own;   ///< the block's queries
  bool there;     ///< whether there is such a query
  Interval seen;  ///< keys that it sees
  Interval all;   ///< keys that some query of the block sees
};
__device__ OwnQuery own_query(const Place& at) {
  const DeviceSequence& s = at.sequence;
  const int thread = static_cast<int>(threadIdx.x), i = at.row + thread / kLanes;
  const int last = min(at.row + kOwn, s.q_len) - 1;
  const bool there = i <= last;
  return {thread % kLanes,
          i,
          {at.row, last + 1},
          there,
          there ? s.keys_of(i) : Interval{},
          {s.keys_of(at.row).begin, s.keys_of(last).end}};
}

template <class T, int Columns>
__global__ void __launch_bounds__(kThreads, 4) forward_kernel(ForwardArguments x) {
  __shared__ DotStage dots;
  __shared__ SumStage<Columns> sums;
  const DeviceProblem& p = x.problem;
  const Place at(p, x.queries, x.chunks);
  const DeviceSequence& s = at.sequence;
  const auto [lane, i, own, there, seen, all] = own_query(at);
  const Rows<T> q = rows_of<T>(x.q, s.batch, s.q_first, at.head, own, p.qk_dim);
  const int kv_head = at.head / p.group, from = at.chunk * Columns;

  float most = x.sink ? x.sink[at.head] : -kInfinity;
  float sum = lane == 0 && most != -kInfinity ? 1.0f : 0.0f;  // of exp(s - most), this lane's share
  float out[Columns / kLanes] = {};
  for (int key = all.begin; key < all.end; key += kOthers) {
    const Interval keys{key, min(key + kOthers, s.k_len)};
    float dot[kEach], probability[kEach];
    dot_products(dot, dots, q, rows_of<T>(x.k, s.batch, s.k_first, kv_head, keys, p.qk_dim));
    float tile_most = -kInfinity;
#pragma unroll
    for (int n = 0; n < kEach; ++n) {
      const int j = key + lane + n * kLanes;
      dot[n] = j >= seen.begin && j < seen.end ? Score(dot[n], p.scale, p.softcap).s : -kInfinity;
      tile_most = fmaxf(tile_most, dot[n]);
    }
    const float before = most;
    most = fmaxf(most, group_max<kLanes>(tile_most));
    const float zero = most == -kInfinity ? 0 : most;
    const float rescale = expf(before - zero);
    sum *= rescale;
#pragma unroll
    for (float& o : out) o *= rescale;
#pragma unroll
    for (int n = 0; n < kEach; ++n) sum += probability[n] = expf(dot[n] - zero);
    add_weighted<Columns>(out, sums, probability, rows_of<T>(x.v, s.batch, s.k_first, kv_head, keys, p.v_dim),
                          from);
  }
  sum = group_sum<kLanes>(sum);
  if (!there) return;
  if (at.chunk == 0 && lane == 0)
    *x.lse.at<float>(s.batch, s.q_first + i, at.head) = (most == -kInfinity ? 0 : most) + logf(sum);
  // A row that sees keys all of which are infinitely far is 0 / 0; one that sees none is 0.
  const float factor = seen.empty() ? 0 : 1 / sum;
  store_row(x.out.at<T>(s.batch, s.q_first + i, at.head), p.v_dim, from, out, factor, false);
}

// dq = sum over keys of ds k: a block owns 16 queries of a head.
template <class T, int Columns>
__global__ void __launch_bounds__(kThreads, 4) dq_kernel(BackwardArguments x) {
  __shared__ DotStage dots;
  __shared__ SumStage<Columns> sums;
  const DeviceProblem& p = x.problem;
  const Place at(p, x.own, x.chunks);
  const DeviceSequence& s = at.sequence;
  const auto [lane, i, own, there, seen, all] = own_query(at);
  const Rows<T> q = rows_of<T>(x.q, s.batch, s.q_first, at.head, own, p.qk_dim);
  const Rows<T> dout = rows_of<T>(x.dout, s.batch, s.q_first, at.head, own, p.v_dim);
  const int kv_head = at.head / p.group, from = at.chunk * Columns;
  const int64 statistics =
      RowStatistics::place(x.queries, at.head, x.queries.first_slot(at.index, s.q_first)) + i;
  const float lse = x.statistics.lse[statistics], delta = x.statistics.delta[statistics];

  float dq[Columns / kLanes] = {};
  for (int key = all.begin; key < all.end; key += kOthers) {
    const Interval keys{key, min(key + kOthers, s.k_len)};
    const Rows<T> k = rows_of<T>(x.k, s.batch, s.k_first, kv_head, keys, p.qk_dim);
    float dot[kEach], dprobability[kEach], ds[kEach];
    dot_products(dot, dots, q, k);
    dot_products(dprobability, dots, dout, rows_of<T>(x.v, s.batch, s.k_first, kv_head, keys, p.v_dim));
#pragma unroll
    for (int n = 0; n < kEach; ++n) {
      const int j = key + lane + n * kLanes;
      const Score score(dot[n], p.scale, p.softcap);
      ds[n] =
          j >= seen.begin && j < seen.end ? expf(score.s - lse) * (dprobability[n] - delta) * score.slope : 0;
    }
    add_weighted<Columns>(dq, sums, ds, k, from);
  }
  if (!there) return;
  store_row(x.dq.at<T>(s.batch, s.q_first + i, at.head), p.qk_dim, from, dq, p.scale, x.accumulate);
}

// dk = sum over queries of ds q, dv = sum of probability dout, over the query heads of the group too: a block
// owns 16 keys of a KV head.
template <class T, int Columns>
__global__ void __launch_bounds__(kThreads, 4) dk_dv_kernel(BackwardArguments x) {
  __shared__ DotStage dots;
  __shared__ SumStage<Columns> sums;
  const DeviceProblem& p = x.problem;
  const Place at(p, x.own, x.chunks);
  const DeviceSequence& s = at.sequence;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const Interval own{at.row, min(at.row + kOwn, s.k_len)};
  const int j = at.row + static_cast<int>(threadIdx.x) / kLanes;
  const bool there = j < own.end;
  const Interval seen_by = there ? s.queries_of({j, j + 1}) : Interval{};
  const Rows<T> k = rows_of<T>(x.k, s.batch, s.k_first, at.head, own, p.qk_dim);
  const Rows<T> v = rows_of<T>(x.v, s.batch, s.k_first, at.head, own, p.v_dim);
  const int from = at.chunk * Columns;
  const int slot = x.queries.first_slot(at.index, s.q_first);

  float dk[Columns / kLanes] = {}, dv[Columns / kLanes] = {};
  const Interval all = s.queries_of(own);
  for (int head = at.head * p.group; head < (at.head + 1) * p.group; ++head) {
    const int64 statistics = RowStatistics::place(x.queries, head, slot);
    for (int query = all.begin; query < all.end; query += kOthers) {
      const Interval queries{query, min(query + kOthers, s.q_len)};
      const Rows<T> q = rows_of<T>(x.q, s.batch, s.q_first, head, queries, p.qk_dim);
      const Rows<T> dout = rows_of<T>(x.dout, s.batch, s.q_first, head, queries, p.v_dim);
      float dot[kEach], dprobability[kEach], probability[kEach], ds[kEach];
      dot_products(dot, dots, k, q);
      dot_products(dprobability, dots, v, dout);
#pragma unroll
      for (int n = 0; n < kEach; ++n) {
        const int i = query + lane + n * kLanes;
        probability[n] = ds[n] = 0;
        if (i < seen_by.begin || i >= seen_by.end) continue;
        const Score score(dot[n], p.scale, p.softcap);
        probability[n] = expf(score.s - x.statistics.lse[statistics + i]);
        ds[n] = probability[n] * (dprobability[n] - x.statistics.delta[statistics + i]) * score.slope;
      }
      if (from < p.v_dim) add_weighted<Columns>(dv, sums, probability, dout, from);
      if (from < p.qk_dim) add_weighted<Columns>(dk, sums, ds, q, from);
    }
  }
  if (!there) return;
  store_row(x.dk.at<T>(s.batch, s.k_first + j, at.head), p.qk_dim, from, dk, p.scale, x.accumulate);
  store_row(x.dv.at<T>(s.batch, s.k_first + j, at.head), p.v_dim, from, dv, 1, x.accumulate);
}

// f<T, columns that a block sums>()
template <class F>
void dispatch_kernels(const AttentionProblem& p, F f) {
  const bool narrow = std::max(p.qk_dim, p.v_dim) <= 16;
  const auto dtype = [&]<class T>() {
    if (narrow) return f.template operator()<T, 16>();
    return f.template operator()<T, 64>();
  };
  if (p.dtype == DType::bf16) return dtype.template operator()<Bf16>();
  if (p.dtype == DType::f16) return dtype.template operator()<F16>();
  dtype.template operator()<float>();
}

template <class Arguments>
void launch_tiles(const char* name, void (*kernel)(Arguments), const Execution& execution,
                  const TileCut& tiles, int heads, const Arguments& x) {
  launch(execution, name, {blocks(int64{tiles.count} * heads * x.chunks), kThreads}, kernel, x);
}

}  // namespace
}  // namespace simple

int64 simple_forward_bytes(const AttentionProblem& p) {
  return scratch_size<int>(DocumentTables(p, Side::queries, simple::kOwn).ints());
}

int64 simple_backward_bytes(const AttentionProblem& p) {
  const DocumentTables of_queries(p, Side::queries, simple::kOwn), of_keys(p, Side::keys, simple::kOwn);
  const TileCut queries = cut_tiles(p, Side::queries, of_queries, simple::kOwn);
  return scratch_size<int>(of_queries.ints()) + scratch_size<int>(of_keys.ints()) +
         2 * scratch_size<float>(p.q_heads * queries.slots * queries.rows) +
         scratch_size<float>(p.q_heads * queries.count);
}

void simple_forward(Execution& execution, const AttentionForward& op) {
  const AttentionProblem& p = op.problem;
  DeviceProblem problem = device_problem(p);
  const DocumentTables tables(p, Side::queries, simple::kOwn);
  TileCut queries = cut_tiles(p, Side::queries, tables, simple::kOwn);
  queries.list = tables.upload(stream_of(execution), execution.scratch<int>(tables.ints()), problem);
  simple::dispatch_kernels(p, [&]<class T, int Columns>() {
    const simple::ForwardArguments x{.problem = problem,
                                     .queries = queries,
                                     .chunks = static_cast<int>(ceil_div(p.v_dim, Columns)),
                                     .q = device_tensor(op.q),
                                     .k = device_tensor(op.k),
                                     .v = device_tensor(op.v),
                                     .out = device_tensor(op.out),
                                     .lse = device_statistics(op.lse),
                                     .sink = op.sink ? op.sink.data<float>() : nullptr};
    simple::launch_tiles("attention_simple_forward", simple::forward_kernel<T, Columns>, execution, queries,
                         problem.q_heads, x);
  });
}

void simple_backward(Execution& execution, const AttentionBackward& op) {
  const AttentionProblem& p = op.problem;
  DeviceProblem problem = device_problem(p);
  const DocumentTables of_queries(p, Side::queries, simple::kOwn), of_keys(p, Side::keys, simple::kOwn);
  TileCut queries = cut_tiles(p, Side::queries, of_queries, simple::kOwn);
  TileCut keys = cut_tiles(p, Side::keys, of_keys, simple::kOwn);
  keys.list = of_keys.upload(stream_of(execution), execution.scratch<int>(of_keys.ints()), problem);
  queries.list = of_queries.upload(stream_of(execution), execution.scratch<int>(of_queries.ints()), problem);
  const int64 rows = p.q_heads * queries.slots * queries.rows;
  const RowStatistics statistics{execution.scratch<float>(rows), execution.scratch<float>(rows)};
  float* shares = execution.scratch<float>(p.q_heads * queries.count);
  prepare_rows(execution, op, problem, queries, 1, statistics, shares);
  simple::dispatch_kernels(p, [&]<class T, int Columns>() {
    simple::BackwardArguments x{.problem = problem,
                                .own = queries,
                                .queries = queries,
                                .chunks = static_cast<int>(ceil_div(p.qk_dim, Columns)),
                                .q = device_tensor(op.q),
                                .k = device_tensor(op.k),
                                .v = device_tensor(op.v),
                                .dout = device_tensor(op.dout),
                                .dq = device_tensor(op.dq),
                                .dk = device_tensor(op.dk),
                                .dv = device_tensor(op.dv),
                                .statistics = statistics,
                                .accumulate = op.accumulate};
    simple::launch_tiles("attention_simple_dq", simple::dq_kernel<T, Columns>, execution, queries,
                         problem.q_heads, x);
    x.own = keys;
    x.chunks = static_cast<int>(ceil_div(std::max(p.qk_dim, p.v_dim), Columns));
    simple::launch_tiles("attention_simple_dk_dv", simple::dk_dv_kernel<T, Columns>, execution, keys,
                         problem.kv_heads, x);
  });
  sum_dsink(execution, op, queries, shares);
}

}  // namespace fovea::cuda
