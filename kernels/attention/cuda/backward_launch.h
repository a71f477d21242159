#pragma once

#include "kernels/attention/cuda/backward_kernel.h"
#include "kernels/attention/cuda/backward_plan.h"
#include "kernels/attention/cuda/backward_run.h"
#include "kernels/attention/cuda/blocks.h"
#include "kernels/attention/cuda/sums_in_memory.h"
#include "kernels/cuda/launch.h"

// The kernels of one shape, for backward_D.cu to instantiate.

namespace fovea::cuda {

/// Sums that lie as blocks held them, on their way into rows.
struct StoreArguments {
  DeviceProblem problem;
  TileCut tiles;
  bool of_queries;  // or of keys
  DeviceTensor to;
  const float* sums;  // (parts, heads, slots, sums of a tile)
  int heads, dim, parts;
  float factor;
  bool accumulate;
};

template <class T, class Place>
__global__ void __launch_bounds__(Place::kThreads) store_sums_kernel(StoreArguments x) {
  const int head = static_cast<int>(blockIdx.x) / x.tiles.count;
  const TileStart start = x.tiles.tile(static_cast<int>(blockIdx.x) % x.tiles.count);
  const DeviceSequence s = x.problem.sequence(start.sequence);
  const int first = x.of_queries ? s.q_first : s.k_first;
  const int rows = (x.of_queries ? s.q_len : s.k_len) - start.row;
  const int64 slot = x.tiles.first_slot(start.sequence, first) + start.row / x.tiles.rows;
  constexpr int64 kTile = Place::kRows * Place::kColumns;
  // Nobody has written to the dq of queries that see no key.
  const int last_row = start.row + min(rows, x.tiles.rows) - 1;
  const bool any = !x.of_queries || !Interval{s.keys_of(start.row).begin, s.keys_of(last_row).end}.empty();
  typename Place::Sums sums;
  Place::clear(sums);
  for (int part = 0; any && part < x.parts; ++part) {
    const int64 tile = (int64{part} * x.heads + head) * x.tiles.slots + slot;
    SumsInMemory<Place>{const_cast<float*>(x.sums) + tile * kTile}.add_to(sums);
  }
  store_rows<T>(Place(static_cast<int>(threadIdx.x) / kWarp), sums, x.factor, rows, x.dim, x.accumulate,
                [&](int r) { return x.to.at<T>(s.batch, first + start.row + r, head); });
}

template <class T, class Shape>
void launch_backward(Execution& execution, const AttentionBackward& op) {
  const AttentionProblem& p = op.problem;
  BackwardPlan plan = BackwardPlan::of<Shape>(p, op.accumulate);
  DeviceProblem problem = device_problem(p);
  plan.keys.list =
      plan.of_keys.upload(stream_of(execution), execution.scratch<int>(plan.of_keys.ints()), problem);
  plan.queries.list =
      plan.of_queries.upload(stream_of(execution), execution.scratch<int>(plan.of_queries.ints()), problem);
  const RowStatistics statistics{execution.scratch<float>(plan.row_statistics()),
                                 execution.scratch<float>(plan.row_statistics())};
  uint32* const counters = execution.scratch<uint32>(plan.counters());
  check(cudaMemsetAsync(counters, 0, static_cast<size_t>(plan.counters()) * sizeof(uint32),
                        stream_of(execution)),
        "cudaMemsetAsync");
  float* const dsink_shares = execution.scratch<float>(plan.dsink_shares());
  prepare_rows(execution, op, problem, plan.queries, kLog2E, statistics, dsink_shares);

  const BackwardArguments x{
      .problem = problem,
      .queries = plan.queries,
      .keys = plan.keys,
      .q = device_tensor(op.q),
      .k = device_tensor(op.k),
      .v = device_tensor(op.v),
      .dout = device_tensor(op.dout),
      .dk = device_tensor(op.dk),
      .dv = device_tensor(op.dv),
      .log2_scale = p.scale * kLog2E,
      .scale_by_cap = p.scale / p.softcap,
      .log2_cap = p.softcap * kLog2E,
      .statistics = statistics,
      .dq = execution.scratch<float>(plan.dq()),
      .turns = counters,
      .ticket = counters + plan.counters() - 1,
      .parts = static_cast<int>(plan.parts),
      .dk_parts = plan.sums_in_memory ? execution.scratch<float>(plan.dk_parts()) : nullptr,
      .dv_parts = plan.sums_in_memory ? execution.scratch<float>(plan.dv_parts()) : nullptr};
  launch(execution, "attention_backward",
         {blocks(int64{plan.keys.count} * p.kv_heads * plan.parts), Shape::kThreads, Shape::kSharedBytes},
         backward_kernel<T, Shape>, x);

  StoreArguments store{.problem = problem,
                       .tiles = plan.queries,
                       .of_queries = true,
                       .to = device_tensor(op.dq),
                       .sums = x.dq,
                       .heads = problem.q_heads,
                       .dim = problem.qk_dim,
                       .parts = 1,
                       .factor = p.scale,
                       .accumulate = op.accumulate};
  launch(execution, "attention_store_dq", {blocks(int64{plan.queries.count} * p.q_heads), Shape::kThreads},
         store_sums_kernel<T, typename Shape::Dq>, store);
  if (plan.sums_in_memory) {
    store.tiles = plan.keys, store.of_queries = false;
    store.heads = problem.kv_heads, store.parts = x.parts;
    const LaunchShape shape{blocks(int64{plan.keys.count} * p.kv_heads), Shape::kThreads};
    store.to = device_tensor(op.dk), store.sums = x.dk_parts;
    launch(execution, "attention_store_dk", shape, store_sums_kernel<T, typename Shape::Dk>, store);
    store.to = device_tensor(op.dv), store.sums = x.dv_parts;
    store.dim = problem.v_dim, store.factor = 1;
    launch(execution, "attention_store_dv", shape, store_sums_kernel<T, typename Shape::Dv>, store);
  }
  sum_dsink(execution, op, plan.queries, dsink_shares);
}

template <class Shape>
void run_backward(Execution& execution, const AttentionBackward& op) {
  if (op.problem.dtype == DType::bf16) return launch_backward<Bf16, Shape>(execution, op);
  launch_backward<F16, Shape>(execution, op);
}

}  // namespace fovea::cuda
