#pragma once

#include "kernels/attention/cuda/prepare.h"
#include "kernels/attention/cuda/statistics.h"

namespace fovea::cuda {

/// How a problem is cut into tiles of M queries and N keys, and the scratch memory that takes.
struct BackwardPlan {
  int64 qk_dim, v_dim;  ///< of the kernel: padded
  DocumentTables of_queries, of_keys;
  TileCut queries, keys;
  int64 q_heads, kv_heads, parts;  ///< parts: blocks that share the query heads of a group
  bool sums_in_memory;             ///< of dk and dv, in f32: several parts, or what is there is added to

  template <class Shape>
  static BackwardPlan of(const AttentionProblem& problem, bool accumulate) {
    return BackwardPlan(problem, accumulate, Shape::kM, Shape::kN, Shape::kQkDim, Shape::kVDim);
  }
  BackwardPlan(const AttentionProblem& problem, bool accumulate, int m, int n, int64 qk_dim, int64 v_dim);

  // Elements of scratch memory.
  int64 row_statistics() const { return q_heads * queries.slots * queries.rows; }
  int64 dq() const { return row_statistics() * qk_dim; }
  int64 counters() const { return q_heads * queries.slots + 1; }  ///< turns, then the ticket
  int64 dsink_shares() const { return q_heads * queries.count; }
  int64 dk_parts() const { return sums_in_memory ? parts * kv_heads * keys.slots * keys.rows * qk_dim : 0; }
  int64 dv_parts() const { return sums_in_memory ? parts * kv_heads * keys.slots * keys.rows * v_dim : 0; }
  int64 bytes() const;
};

}  // namespace fovea::cuda
