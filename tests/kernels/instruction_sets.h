#pragma once

#include <gtest/gtest.h>

#include "harness.h"
#include "kernels/simd/instruction_set.h"

namespace fovea::harness {

/// Runs f once for every instruction set that this machine has and the kernels are compiled for; then the one
/// that was in use is again. Just once for a device, which has none.
template <class F>
void for_each_instruction_set(F f) {
  if (device_of(backend_under_test()) != Device::cpu) return f();
  const InstructionSet before = instruction_set();
  for (const InstructionSet set : instruction_sets()) {
    use_instruction_set(set);
    SCOPED_TRACE(name_of(set));
    f();
  }
  use_instruction_set(before);
}

}  // namespace fovea::harness
