#include "kernels/cross_entropy/case.h"

#include "core/random.h"

namespace fovea::check {

namespace {

enum Index { kHidden, kWeight, kBias, kTargets, kLosses, kDHidden, kDWeight, kDBias };

/// Every fifth row is ignored.
double target_of(int64 n, int64 V) { return n % 5 == 3 ? -1.0 : static_cast<double>(n * 7919 % V); }

}  // namespace

Tolerance cross_entropy_tolerance(DType dtype, Tolerance tolerance) {
  if (dtype == DType::bf16) {
    tolerance.sums += 0x1p-9 / 0x1p-23;
    tolerance.floor += 0x1p-9 * 0.5;
  }
  return tolerance;
}

Case linear_cross_entropy_case(const CrossEntropyProblem& p, uint64 seed) {
  const bool sums = p.gradients && p.accumulators;
  const auto small = [seed](int64 i) {  // logits of a few units
    return 0.3 * RandomSequence{seed, RandomUse::synthetic, 50}.normal(static_cast<uint64>(i));
  };
  return {.operands = {{"hidden", p.dtype, {p.N, p.C}, Role::in, nullptr, p.layout},
                       {"weight", p.dtype, {p.V, p.C}, Role::in, small, p.layout},
                       {"bias", DType::f32, shape_if(p.bias, {p.V})},
                       {"targets", DType::i32, {p.N}, Role::in, [p](int64 n) { return target_of(n, p.V); }},
                       {"losses", DType::f32, {p.N}, Role::out},
                       {"dhidden", p.dtype, shape_if(p.gradients, {p.N, p.C}), Role::out, nullptr, p.layout},
                       {"dweight", DType::f32, shape_if(sums, {p.V, p.C}),
                        p.accumulate ? Role::inout : Role::out, nullptr, p.layout},
                       {"dbias", DType::f32, shape_if(sums && p.bias, {p.V}), Role::inout}},
          .call =
              [p](Stream& stream, const auto& v) {
                linear_cross_entropy(stream, {.hidden = v[kHidden],
                                              .weight = v[kWeight],
                                              .bias = v[kBias],
                                              .targets = v[kTargets],
                                              .losses = v[kLosses],
                                              .dhidden = v[kDHidden],
                                              .dweight = v[kDWeight],
                                              .dbias = v[kDBias],
                                              .softcap = p.softcap,
                                              .gradient_scale = 0.125,
                                              .accumulate_dweight = p.accumulate});
              },
          .seed = seed};
}

Case linear_logits_case(const CrossEntropyProblem& p) {
  return {.operands = {{"hidden", p.dtype, {p.N, p.C}},
                       {"weight", p.dtype, {p.V, p.C}},
                       {"bias", DType::f32, shape_if(p.bias, {p.V})},
                       {"logits", DType::f32, {p.N, p.V}, Role::out, nullptr, p.layout}},
          .call = [softcap = p.softcap](Stream& stream, const auto& v) {
            linear_logits(stream, {v[0], v[1], v[2], v[3], softcap});
          }};
}

}  // namespace fovea::check
