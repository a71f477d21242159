#include <algorithm>

#include "core/device.h"
#include "kernels/attention/cuda/backward_plan.h"
#include "kernels/attention/cuda/backward_run.h"
#include "kernels/attention/cuda/passes.h"

namespace fovea::cuda {

BackwardPlan::BackwardPlan(const AttentionProblem& problem, bool accumulate, int m, int n, int64 qk, int64 v)
    : qk_dim(qk),
      v_dim(v),
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
  // Neither which device it will be is known here, nor whether a call accumulates.
  int64 most = 0;
  for (const int64 shared_bytes : {int64{99 * 1024}, kRoomyShared}) {
    if (!backward_fits(p.qk_dim, p.v_dim, shared_bytes)) continue;
    dispatch_backward(p.qk_dim, p.v_dim, shared_bytes, [&]<class Shape>() {
      for (const bool accumulate : {false, true})
        most = std::max(most, BackwardPlan::of<Shape>(p, accumulate).bytes());
    });
  }
  return most;
}

bool flash_backward_fits(const AttentionProblem& p) {
  return backward_fits(p.qk_dim, p.v_dim, require_device().shared_bytes);
}

void flash_backward(Execution& execution, const AttentionBackward& op) {
  dispatch_backward(op.problem.qk_dim, op.problem.v_dim, require_device().shared_bytes,
                    [&]<class Shape>() { run_backward<Shape>(execution, op); });
}

}  // namespace fovea::cuda
