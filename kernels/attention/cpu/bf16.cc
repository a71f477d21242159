// The passes over pairs of bf16, for one instruction set: Highway's AVX3_DL and VDPBF16PS, of which
// Highway 1.0 knows nothing. No other file is compiled for AVX3_DL, so that no function here meets a namesake
// elsewhere.
#include "kernels/attention/cpu/passes.h"

#define HWY_WANT_AVX3_DL
#undef HWY_DISABLED_TARGETS  // so that sanitized builds, which have few targets, have this one
#define HWY_DISABLED_TARGETS (HWY_AVX3 | HWY_AVX2 | HWY_SSE4 | HWY_SSSE3)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/cpu/bf16.cc"
#include <hwy/foreach_target.h>  // NOLINT
#include <hwy/highway.h>

#if HWY_TARGET == HWY_AVX3_DL
// Highway's own string for this target, and what it lacks.
#undef HWY_TARGET_STR
#define HWY_TARGET_STR                                            \
  HWY_TARGET_STR_AVX3                                             \
  ",vpclmulqdq,avx512vbmi,avx512vbmi2,vaes,avxvnni,avx512bitalg," \
  "avx512vpopcntdq,avx512bf16"

#include "kernels/attention/cpu/bf16_tiles-inl.h"
#include "kernels/attention/cpu/forward-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {

void forward_in_bf16(const AttentionForward& op, const flash::Unit& unit,
                     const flash::ForwardMemories& memories, const flash::Partials& partials) {
  forward_unit<Bf16Tiles>(op, unit, memories, partials);
}
void backward_in_bf16(const AttentionBackward& op, const flash::Unit& unit,
                      const flash::BackwardMemory& memory, float* dq, float* dsink) {
  backward_unit<Bf16Tiles>(op, unit, memory, dq, dsink);
}

}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_AVX3_DL

#if HWY_ONCE
namespace fovea::flash {

#if HWY_TARGETS & HWY_AVX3_DL
void run_unit_in_bf16(const AttentionForward& op, const Unit& unit, const ForwardMemories& memories,
                      const Partials& partials) {
  N_AVX3_DL::forward_in_bf16(op, unit, memories, partials);
}
void run_unit_in_bf16(const AttentionBackward& op, const Unit& unit, const BackwardMemory& memory, float* dq,
                      float* dsink) {
  N_AVX3_DL::backward_in_bf16(op, unit, memory, dq, dsink);
}
#else
void run_unit_in_bf16(const AttentionForward&, const Unit&, const ForwardMemories&, const Partials&) {
  FOVEA_CHECK(false, "this build has no bf16 kernels");
}
void run_unit_in_bf16(const AttentionBackward&, const Unit&, const BackwardMemory&, float*, float*) {
  FOVEA_CHECK(false, "this build has no bf16 kernels");
}
#endif

}  // namespace fovea::flash
#endif  // HWY_ONCE
