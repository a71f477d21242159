#include "kernels/attention/cuda/forward.h"

#include "kernels/attention/cuda/forward_plan.h"
#include "kernels/attention/cuda/passes.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/math.h"
#include "kernels/cuda/warp.h"

namespace fovea::cuda {
namespace {

constexpr int kMergeWarps = 4;

/// A row from its parts, in their order: lse = log2(sum of exp2(lse of a part)), out their outs, weighted.
/// One warp to a row.
template <class T>
__global__ __launch_bounds__(kMergeWarps* kWarp) void merge_kernel(
    const __grid_constant__ ForwardArguments x) {
  const DeviceProblem& problem = x.problem;
  const int64 rows = int64{problem.batch} * problem.q_len * problem.q_heads;
  const int64 row = int64{blockIdx.x} * kMergeWarps + this_warp();
  if (row >= rows) return;
  const int head = static_cast<int>(row % problem.q_heads);
  const int64 query = row / problem.q_heads;
  const int batch = static_cast<int>(query / problem.q_len), at = static_cast<int>(query % problem.q_len);

  const auto lse_of = [&](int split) { return x.partial_lse[split * rows + row]; };
  const float sink = x.sink ? x.sink[head] * kLog2E : -kInfinity;
  float most = sink;
  for (int split = 0; split < x.splits; ++split) most = fmaxf(most, lse_of(split));
  const float from = most == -kInfinity ? 0.0f : most;
  float sum = exp2_approx(sink - from);
  for (int split = 0; split < x.splits; ++split) sum += exp2_approx(lse_of(split) - from);
  if (this_lane() == 0) *x.lse.at<float>(batch, at, head) = (from + log2f(sum)) * kLn2;

  T* out = x.out.at<T>(batch, at, head);
  for (int d = this_lane() * 4; d < problem.v_dim; d += kWarp * 4) {
    const auto part = [&](int split) {
      return *reinterpret_cast<const float4*>(x.partial_out + (split * rows + row) * problem.v_dim + d);
    };
    // Where nothing has weight every part has what is left: zeros of a blind row, NaN of one whose keys are
    // all at minus infinity.
    float4 merged = most == -kInfinity ? part(0) : float4{};
    for (int split = 0; split < x.splits; ++split) {
      const float lse = lse_of(split);
      if (lse == -kInfinity) continue;
      const float weight = exp2_approx(lse - from) / sum;
      const float4 one = part(split);
      merged.x += weight * one.x, merged.y += weight * one.y;
      merged.z += weight * one.z, merged.w += weight * one.w;
    }
    *reinterpret_cast<uint2*>(out + d) = {pack<T>(merged.x, merged.y), pack<T>(merged.z, merged.w)};
  }
}

}  // namespace

int64 flash_forward_bytes(const AttentionProblem& problem) {
  return ForwardPlan(problem).scratch_bytes(problem);
}

void flash_forward(Execution& execution, const AttentionForward& op) {
  const AttentionProblem& p = op.problem;
  const ForwardPlan plan(p);
  ForwardArguments x{};
  x.problem = device_problem(p);
  x.q = device_tensor(op.q), x.k = device_tensor(op.k), x.v = device_tensor(op.v),
  x.out = device_tensor(op.out);
  x.lse = device_statistics(op.lse);
  x.sink = op.sink ? op.sink.data<float>() : nullptr;
  x.transformed = p.softcap > 0 || !(p.scale > 0);
  x.c = x.transformed ? kLog2E : kLog2E * p.scale;
  x.tile_count = static_cast<int>(plan.tiles);
  x.tiles =
      plan.documents.upload(stream_of(execution), execution.scratch<int>(plan.documents.ints()), x.problem);
  x.splits = plan.splits;
  x.partial_out = execution.scratch<float>(plan.partials() * p.v_dim);
  x.partial_lse = execution.scratch<float>(plan.partials());
  launch(execution, "attention_forward",
         {dim3(static_cast<unsigned>(plan.blocks)), dim3(static_cast<unsigned>(plan.kernel->threads)),
          plan.kernel->shared_bytes},
         plan.kernel->kernel, x);
  if (plan.splits == 1) return;
  launch(execution, "attention_merge",
         {dim3(static_cast<unsigned>(ceil_div(plan.rows, kMergeWarps))), dim3(kMergeWarps * kWarp)},
         p.dtype == DType::bf16 ? merge_kernel<Bf16> : merge_kernel<F16>, x);
}

}  // namespace fovea::cuda
