#include <algorithm>

#include "kernels/attention/cuda/backward_plan.h"
#include "kernels/attention/cuda/backward_run.h"
#include "kernels/attention/cuda/passes.h"

namespace fovea::cuda {

BackwardPlan::BackwardPlan(const AttentionProblem& problem, bool accumulate, int m, int n, int64 qk, int64 v,
                           int64 warp_count)
    : qk_dim(qk),
      v_dim(v),
      warps(warp_count),
      of_queries(problem, Side::queries, m),
      of_keys(problem, Side::keys, n),
      queries(cut_tiles(problem, Side::queries, of_queries, m)),
      keys(cut_tiles(problem, Side::keys, of_keys, n)),
      q_heads(problem.q_heads),
      kv_heads(problem.kv_heads),
      parts(1) {
  // Two blocks for each multiprocessor of the larger devices there are; what a device has is not asked, or
  // the bits would depend on it.
  constexpr int64 kEnoughBlocks = 264;
  while (parts < problem.group() &&
         (problem.group() % parts != 0 || keys.count * kv_heads * parts < kEnoughBlocks))
    ++parts;
  sums_in_memory = accumulate || parts > 1;
}

int64 BackwardPlan::bytes() const {
  return scratch_size<int>(of_queries.ints()) + scratch_size<int>(of_keys.ints()) +
         2 * scratch_size<float>(row_statistics()) + scratch_size<float>(dq()) +
         scratch_size<uint32>(counters()) + scratch_size<float>(dsink_shares()) +
         scratch_size<float>(dk_parts()) + scratch_size<float>(dv_parts());
}

int64 flash_backward_bytes(const AttentionProblem& p) {
  // Which of the two a call is is not known here.
  return dispatch_backward(p.qk_dim, p.v_dim, [&]<class Shape>() {
    return std::max(BackwardPlan::of<Shape>(p, false).bytes(), BackwardPlan::of<Shape>(p, true).bytes());
  });
}

void flash_backward(Execution& execution, const AttentionBackward& op) {
  dispatch_backward(op.problem.qk_dim, op.problem.v_dim,
                    [&]<class Shape>() { run_backward<Shape>(execution, op); });
}

}  // namespace fovea::cuda
