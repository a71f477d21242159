#include "kernels/attention/cpu/passes.h"
#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/cpu/backward.cc"
#include <hwy/foreach_target.h>  // NOLINT
#include <hwy/highway.h>

#include "kernels/attention/cpu/backward-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {
namespace {

void backward_in_f32(const AttentionBackward& op, const flash::Unit& unit,
                     const flash::BackwardMemory& memory, float* dq, float* dsink) {
  backward_unit<F32Tiles>(op, unit, memory, dq, dsink);
}

}  // namespace
}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::flash {
namespace {
HWY_EXPORT(backward_in_f32);
HWY_EXPORT(write_dq_rows);
}  // namespace

void run_unit(const AttentionBackward& op, const Unit& unit, const BackwardMemory& memory, float* dq,
              float* dsink) {
  if (tile_width(op.problem) == 2)
    run_unit_in_bf16(op, unit, memory, dq, dsink);
  else
    HWY_DYNAMIC_DISPATCH(backward_in_f32)(op, unit, memory, dq, dsink);
}
void write_dq(const AttentionBackward& op, const Unit& unit, Range queries, std::span<const DqPart> parts) {
  HWY_DYNAMIC_DISPATCH(write_dq_rows)(op, unit, queries, parts);
}
}  // namespace fovea::flash
#endif  // HWY_ONCE
