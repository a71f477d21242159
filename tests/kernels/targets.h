#pragma once

#include <gtest/gtest.h>

#include "kernels/simd/targets.h"

#include <hwy/targets.h>

namespace fovea::harness {

/// Runs f once for every instruction set that this machine has and the kernels are compiled for, not only the
/// best.
template <class F>
void for_each_instruction_set(F f) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    SCOPED_TRACE(hwy::TargetName(target));
    f();
  }
  hwy::SetSupportedTargetsForTest(0);
}

}  // namespace fovea::harness
