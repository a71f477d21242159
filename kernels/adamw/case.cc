#include "kernels/adamw/case.h"

#include "core/random.h"

namespace fovea::check {

namespace {

enum Index { kGradient, kM, kV, kWeight, kComputeWeight };

AdamW with_operands(AdamW op, const std::vector<View>& v) {
  op.gradient = v[kGradient];
  op.m = v[kM];
  op.v = v[kV];
  op.weight = v[kWeight];
  op.compute_weight = v[kComputeWeight];
  return op;
}

}  // namespace

Case adamw_case(int64 n, AdamW settings, bool compute_weight, uint64 seed) {
  const auto positive = [seed](int64 i) {
    return static_cast<double>(
        RandomSequence{seed, RandomUse::synthetic, 77}.uniform(static_cast<uint64>(i)));
  };
  const Layout shifted{0, 1};
  return {.operands = {{"gradient", DType::f32, {n}, Role::in, nullptr, shifted},
                       {"m", DType::f32, {n}, Role::inout},
                       {"v", DType::f32, {n}, Role::inout, positive},
                       {"weight", DType::f32, {n}, Role::inout, nullptr, shifted},
                       {"compute_weight", DType::bf16, shape_if(compute_weight, {n}), Role::out}},
          .call = [settings](Stream& stream, const auto& v) { adamw(stream, with_operands(settings, v)); },
          .seed = seed};
}

Case gated_adamw_case(int64 n, const AdamW& settings, double factor, bool go) {
  Case c = adamw_case(n, settings, true);
  c.operands.push_back({"gradient_factor", DType::f64, {1}, Role::in, [=](int64) { return factor; }});
  c.operands.push_back({"go", DType::i32, {1}, Role::in, [=](int64) { return go ? 1.0 : 0.0; }});
  c.call = [settings](Stream& stream, const auto& v) {
    AdamW op = with_operands(settings, v);
    op.gradient_factor = v[kComputeWeight + 1];
    op.go = v[kComputeWeight + 2];
    adamw(stream, op);
  };
  return c;
}

Case update_gate_case(const UpdateGateProblem& p) {
  const auto one = [](double value) { return [=](int64) { return value; }; };
  return {.operands = {{"squares", DType::f64, {1}, Role::in, one(p.squares)},
                       {"loss", DType::f64, shape_if(p.has_loss, {1}), Role::in, one(p.loss)},
                       {"factor", DType::f64, {1}, Role::out},
                       {"go", DType::i32, {1}, Role::out}},
          .call = [clip = p.clip](Stream& stream, const auto& v) {
            gate_update(stream, {.squares = v[0], .loss = v[1], .factor = v[2], .go = v[3], .clip = clip});
          }};
}

}  // namespace fovea::check
