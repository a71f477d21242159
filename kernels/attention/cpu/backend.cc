#include <fmt/format.h>

#include "kernels/attention/backends.h"
#include "kernels/attention/cpu/passes.h"
#include "kernels/attention/cpu/rows.h"
#include "kernels/simd/instruction_set.h"

namespace fovea {
namespace {

using namespace flash;

int64 rows_of(const AttentionProblem& problem) { return problem.batch * problem.q_len * problem.q_heads; }

struct ForwardPlan {
  Units units;
  int64 per_worker, partials;
  ForwardPlan(const AttentionProblem& problem, int threads) : units(problem, Pass::forward, threads) {
    Carver carver;
    ForwardMemories memories(carver, problem, units);
    per_worker = carver.used();
    partials = units.key_parts() == 1
                   ? 0
                   : Partials::floats(units.key_parts(), rows_of(problem), padded(problem.v_dim));
  }
};

/// Where the keys of a head are cut into parts, each sums its own f32 copy of dq; else a worker's memory has
/// room.
struct BackwardPlan {
  Units units;
  int64 per_worker, copy, copies, sinks;
  BackwardPlan(const AttentionProblem& problem, bool sink, int threads)
      : units(problem, Pass::backward, threads) {
    Carver carver;
    BackwardMemory memory(carver, problem, units);
    per_worker = carver.used();
    copy = rows_of(problem) * padded(problem.qk_dim);
    copies = units.key_parts() > 1 ? units.key_parts() : 0;
    sinks = sink ? units.sequences() * units.key_parts() * problem.q_heads : 0;
  }
};

/// dsink (Hq) = or += the gradients of every sequence and part of its keys, in their order.
void sum_sinks(const AttentionBackward& op, const float* sinks /* (parts, kv_heads, group) */, int64 parts) {
  const AttentionProblem& problem = op.problem;
  for (int64 kv_head = 0; kv_head < problem.kv_heads; ++kv_head)
    for (int64 h = 0; h < problem.group(); ++h) {
      double sum = 0;
      for (int64 n = 0; n < parts; ++n) sum += sinks[(n * problem.kv_heads + kv_head) * problem.group() + h];
      float& dsink = op.dsink.data<float>()[query_head(problem, kv_head, h)];
      dsink = static_cast<float>(op.accumulate ? dsink + sum : sum);
    }
}

class CpuAttention final : public AttentionBackend {
 public:
  std::string_view name() const override { return "cpu"; }
  std::string description() const override {
    return fmt::format("tiled, online softmax, f32 sums ({}{})", highway_target(),
                       has_bf16_dot() ? " and dot products of bf16" : "");
  }
  Support supports(const AttentionProblem& problem) const override {
    if (problem.dtype == DType::f64 || problem.dtype == DType::i32)
      return {false, "the cpu backend computes in f32, bf16 or f16; use the reference backend for f64"};
    if (problem.kv_len > INT32_MAX) return {false, "the cpu backend counts keys in 32 bits"};
    return {};
  }
  int64 workspace_bytes(const AttentionProblem& problem, Pass pass, int threads) const override;
  void forward(Execution& execution, const AttentionForward& op) const override;
  void backward(Execution& execution, const AttentionBackward& op) const override;
};

int64 CpuAttention::workspace_bytes(const AttentionProblem& problem, Pass pass, int threads) const {
  if (pass == Pass::forward) {
    const ForwardPlan plan(problem, threads);
    return scratch_size<int64>(plan.units.starts_needed()) + scratch_size<float>(threads * plan.per_worker) +
           scratch_size<float>(plan.partials);
  }
  const BackwardPlan plan(problem, true, threads);
  return scratch_size<int64>(plan.units.starts_needed()) + scratch_size<float>(threads * plan.per_worker) +
         scratch_size<float>(plan.copies * plan.copy) + scratch_size<float>(plan.sinks);
}

void CpuAttention::forward(Execution& execution, const AttentionForward& op) const {
  ForwardPlan plan(op.problem, execution.threads());
  plan.units.index(execution.scratch<int64>(plan.units.starts_needed()));
  float* workers = execution.scratch<float>(execution.threads() * plan.per_worker);
  const Partials partials{execution.scratch<float>(plan.partials), rows_of(op.problem),
                          padded(op.problem.v_dim)};
  execution.parallel_for(plan.units.count(), [&](int64 i, int worker) {
    Carver carver(workers + worker * plan.per_worker);
    run_unit(op, plan.units[i], ForwardMemories(carver, op.problem, plan.units), partials);
  });
  if (plan.partials == 0) return;
  execution.parallel_for(plan.units.count(), [&](int64 i, int worker) {
    Unit unit = plan.units[i];
    if (unit.key_parts == 1) return;
    Carver carver(workers + worker * plan.per_worker);
    const ForwardMemory memory(carver, op.problem, plan.units);
    // The units of the parts share the merging of their heads.
    const int64 end = unit.kv_head + unit.heads;
    for (unit.kv_head += unit.key_part; unit.kv_head < end; unit.kv_head += unit.key_parts)
      merge_parts(op, unit, memory, partials);
  });
}

void CpuAttention::backward(Execution& execution, const AttentionBackward& op) const {
  const AttentionProblem& problem = op.problem;
  BackwardPlan plan(problem, static_cast<bool>(op.dsink), execution.threads());
  const int64 D = padded(problem.qk_dim);
  plan.units.index(execution.scratch<int64>(plan.units.starts_needed()));
  float* workers = execution.scratch<float>(execution.threads() * plan.per_worker);
  float* copies = execution.scratch<float>(plan.copies * plan.copy);
  float* sinks = execution.scratch<float>(plan.sinks);  // (sequences, key_parts, kv_heads, group)
  std::fill(sinks, sinks + plan.sinks, 0.0f);
  execution.parallel_for(plan.units.count(), [&](int64 i, int worker) {
    const Unit unit = plan.units[i];
    Carver carver(workers + worker * plan.per_worker);
    const BackwardMemory memory(carver, problem, plan.units);
    const int64 part = unit.number * plan.units.key_parts() + unit.key_part;
    float* dsink = op.dsink ? sinks + (part * problem.kv_heads + unit.kv_head) * problem.group() : nullptr;
    float* dq = plan.copies ? copies + unit.key_part * plan.copy + first_row(problem, unit) * D : memory.dq;
    run_unit(op, unit, memory, dq, dsink);
    const DqPart all{unit.queries, dq};
    if (!plan.copies) write_dq(op, unit, unit.queries, {&all, 1});
  });
  if (plan.copies)
    execution.parallel_for(plan.units.count(), [&](int64 i, int) {
      const Unit unit = plan.units[i];
      DqPart parts[kMostKeyParts];
      for (int64 part = 0; part < unit.key_parts; ++part)
        parts[part] = {plan.units.queries_of(unit.sequence, part),
                       copies + part * plan.copy + first_row(problem, unit) * D};
      // The units of the parts share the queries.
      const int64 q_len = unit.sequence.q.size();
      const Range mine{unit.key_part * q_len / unit.key_parts, (unit.key_part + 1) * q_len / unit.key_parts};
      write_dq(op, unit, mine, {parts, static_cast<size_t>(unit.key_parts)});
    });
  if (op.dsink) sum_sinks(op, sinks, plan.units.sequences() * plan.units.key_parts());
}

}  // namespace

const AttentionBackend& cpu_attention_backend() {
  static const CpuAttention backend;
  return backend;
}

}  // namespace fovea
