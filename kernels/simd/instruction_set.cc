#include "kernels/simd/instruction_set.h"

#include "kernels/simd/targets.h"

#include <hwy/targets.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/types.h"

namespace fovea {
namespace {

constexpr InstructionSet kAll[] = {InstructionSet::portable, InstructionSet::avx2, InstructionSet::avx512,
                                   InstructionSet::avx512_bf16};

/// Highway's target that stands for a set. It has none for dot products of bf16: those kernels are compiled
/// beside its AVX-512 ones (or AVX2, in a build without them), and chosen by has_bf16_dot().
int64 target_of(InstructionSet set) {
  switch (set) {
    case InstructionSet::avx2:
      return HWY_AVX2;
    case InstructionSet::avx512:
      return HWY_AVX3;
    case InstructionSet::avx512_bf16:
      return (HWY_TARGETS & HWY_AVX3) ? HWY_AVX3 : HWY_AVX2;
    default:
      return HWY_STATIC_TARGET;
  }
}

bool is_there(InstructionSet set) {
  // A program compiled for one processor has a wider baseline, which is then what portable is.
  if (set == InstructionSet::portable) return true;
  if ((target_of(set) & HWY_TARGETS & hwy::SupportedTargets()) == 0) return false;
#if defined(__x86_64__)
  if (set != InstructionSet::avx512_bf16) return true;
  // All that the kernels are compiled for (attention/cpu/bf16.cc): a first generation had bf16 and less of
  // the rest.
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
         __builtin_cpu_supports("avx512bitalg") && __builtin_cpu_supports("avx512vpopcntdq") &&
         __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

/// Asked once: what is there does not depend on what is in use.
const std::vector<InstructionSet>& detected() {
  static const std::vector<InstructionSet> sets = [] {
    std::vector<InstructionSet> there;
    std::copy_if(std::begin(kAll), std::end(kAll), std::back_inserter(there), is_there);
    return there;
  }();
  return sets;
}

std::atomic<InstructionSet>& in_use() {
  static std::atomic<InstructionSet> set = detected().back();
  return set;
}

std::string listed(std::span<const InstructionSet> sets) {
  std::string names;
  for (const InstructionSet set : sets) names += (names.empty() ? "" : ", ") + std::string(name_of(set));
  return names;
}

bool among(InstructionSet set, std::span<const InstructionSet> sets) {
  return std::find(sets.begin(), sets.end(), set) != sets.end();
}

}  // namespace

std::string_view name_of(InstructionSet set) {
  switch (set) {
    case InstructionSet::portable:
      return "portable";
    case InstructionSet::avx2:
      return "avx2";
    case InstructionSet::avx512:
      return "avx512";
    default:
      return "avx512_bf16";
  }
}

std::string_view describe(InstructionSet set) {
  switch (set) {
    case InstructionSet::portable:
      return "what every processor of this family has";
    case InstructionSet::avx2:
      return "vectors of 256 bits, fused multiply-adds";
    case InstructionSet::avx512:
      return "vectors of 512 bits, masks";
    default:
      return "avx512, and dot products of bf16 pairs";
  }
}

std::span<const InstructionSet> instruction_sets() { return detected(); }

InstructionSet instruction_set_named(std::string_view name, std::span<const InstructionSet> there) {
  if (name == "auto") return there.back();
  const auto* const found = std::find_if(std::begin(kAll), std::end(kAll),
                                         [&](InstructionSet set) { return name_of(set) == name; });
  if (found == std::end(kAll))
    fail_usage("there is no instruction set {}: it is auto, {}", name, listed(kAll));
  if (!among(*found, there))
    fail_unavailable("this machine lacks the instruction set {}: it has {}", name, listed(there));
  return *found;
}

InstructionSet instruction_set() { return in_use(); }

void use_instruction_set(InstructionSet set) {
  FOVEA_CHECK(among(set, detected()), "this machine lacks the instruction set {}", static_cast<int>(set));
  hwy::SetSupportedTargetsForTest(target_of(set));
  in_use() = set;
}

bool has_bf16_dot() { return instruction_set() == InstructionSet::avx512_bf16; }

}  // namespace fovea
