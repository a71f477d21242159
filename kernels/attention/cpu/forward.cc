#include "kernels/attention/cpu/passes.h"
#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/cpu/forward.cc"
#include <hwy/foreach_target.h>  // NOLINT
#include <hwy/highway.h>

#include "kernels/attention/cpu/forward-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {
namespace {

const char* target_name() { return hwy::TargetName(HWY_TARGET); }

void forward_in_f32(const AttentionForward& op, const flash::Unit& unit,
                    const flash::ForwardMemories& memories, const flash::Partials& partials) {
  forward_unit<F32Tiles>(op, unit, memories, partials);
}

}  // namespace
}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::flash {
namespace {
HWY_EXPORT(forward_in_f32);
HWY_EXPORT(merge_unit);
HWY_EXPORT(target_name);
}  // namespace

const char* highway_target() { return HWY_DYNAMIC_DISPATCH(target_name)(); }
void run_unit(const AttentionForward& op, const Unit& unit, const ForwardMemories& memories,
              const Partials& partials) {
  if (tile_width(op.problem) == 2)
    run_unit_in_bf16(op, unit, memories, partials);
  else
    HWY_DYNAMIC_DISPATCH(forward_in_f32)(op, unit, memories, partials);
}
void merge_parts(const AttentionForward& op, const Unit& unit, const ForwardMemory& memory,
                 const Partials& partials) {
  HWY_DYNAMIC_DISPATCH(merge_unit)(op, unit, memory, partials);
}
}  // namespace fovea::flash
#endif  // HWY_ONCE
