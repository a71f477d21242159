#pragma once

#include "kernels/simd/instruction_set.h"

namespace fovea {

/// Keeps the library of matrix products (oneDNN) to an instruction set, as use_instruction_set() does our
/// kernels; the widest that there is leaves it alone, since it may know of wider ones. The library asks its
/// processor once: false where it has computed something before, and goes on as it did.
bool limit_matrix_library(InstructionSet set);

}  // namespace fovea
