#include "kernels/adamw/backends.h"
#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/adamw/cpu.cc"
#include <hwy/foreach_target.h>  // NOLINT
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "kernels/simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {
namespace {

F32V constant(double x) { return hn::Set(F32(), static_cast<float>(x)); }

/// Whether all that it wrote is finite.
bool adamw_range(const AdamW& op, double gradient_scale, double decay, Range range) {
  const float* gradient = op.gradient.data<float>() + range.begin;
  float* m = op.m.data<float>() + range.begin;
  float* v = op.v.data<float>() + range.begin;
  float* weight = op.weight.data<float>() + range.begin;
  const double t = static_cast<double>(op.step);
  const F32V scale = constant(gradient_scale), epsilon = constant(op.epsilon);
  const F32V beta1 = constant(op.beta1), one_less_beta1 = constant(1 - op.beta1);
  const F32V beta2 = constant(op.beta2), one_less_beta2 = constant(1 - op.beta2);
  // the corrections of the moments' bias, folded into constants: lr / (1 - beta1^t) and 1 / (1 - beta2^t)
  const F32V rate = constant(op.lr / (1 - std::pow(op.beta1, t)));
  const F32V v_correction = constant(1 / (1 - std::pow(op.beta2, t)));
  const F32V shrink = constant(op.lr * decay);
  F32V zeros = hn::Zero(F32());  // or NaN: what is finite times 0 is 0
  for_each_vector(range.size(), [&](int64 i, auto part) HWY_ATTR {
    const F32V g = hn::Mul(load_row(gradient + i, part), scale);
    const F32V m_new = hn::MulAdd(beta1, load_row(m + i, part), hn::Mul(one_less_beta1, g));
    const F32V v_new = hn::MulAdd(beta2, load_row(v + i, part), hn::Mul(hn::Mul(one_less_beta2, g), g));
    const F32V w = load_row(weight + i, part);
    const F32V denominator = hn::Add(hn::Sqrt(hn::Mul(v_new, v_correction)), epsilon);
    const F32V change = hn::MulAdd(shrink, w, hn::Div(hn::Mul(rate, m_new), denominator));
    store_row(m_new, m + i, part);
    store_row(v_new, v + i, part);
    const F32V w_new = hn::Sub(w, change);
    store_row(w_new, weight + i, part);
    const F32V zero = hn::Zero(F32());
    zeros = hn::MulAdd(m_new, zero, hn::MulAdd(v_new, zero, hn::MulAdd(w_new, zero, zeros)));
  });
  if (op.compute_weight)
    write_row(op.compute_weight.dtype(), op.compute_weight.at({range.begin}), range.size(), weight);
  return hn::GetLane(hn::SumOfLanes(F32(), zeros)) == 0;
}

}  // namespace
}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea {
namespace {
HWY_EXPORT(adamw_range);
}  // namespace

namespace cpu {
namespace {
constexpr int64 kBlock = int64{1} << 13;  // the new weights are still in the first-level cache when copied
int64 parts_of(const AdamW& op) { return ceil_div(op.weight.size(0), kBlock); }
}  // namespace

int64 scratch_bytes(const AdamW& op) { return scratch_size<bool>(parts_of(op)); }

void run(Execution& execution, const AdamW& op) {
  if (!goes(op)) return;
  const double scale = whole_scale(op);
  const int64 n = op.weight.size(0), parts = parts_of(op);
  bool* finite = execution.scratch<bool>(parts);
  execution.parallel_for(parts, [&](int64 part, int) {
    const Range range{part * kBlock, std::min(n, (part + 1) * kBlock)};
    finite[part] = true;
    for_each_decay(op, range, [&](Range alike, double decay) {
      finite[part] &= HWY_DYNAMIC_DISPATCH(adamw_range)(op, scale, decay, alike);
    });
  });
  if (op.finite && !std::all_of(finite, finite + parts, [](bool each) { return each; }))
    op.finite->set(false);
}

void run(Execution& execution, const UpdateGate& op) { reference::run(execution, op); }

}  // namespace cpu
}  // namespace fovea
#endif  // HWY_ONCE
