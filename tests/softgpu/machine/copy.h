#pragma once

#include "machine/op.h"

namespace softgpu {

/// cp.async: Op::bytes from global memory at r[1] + imm2 to shared memory at r[0] + imm; r[2]: how many of
/// them are read, the rest being zero. What is copied is read at once and lands when a wait covers it, the
/// latest legal time.
Handler copy_handler();

/// ldmatrix (or stmatrix) of `count` matrices of 8 by 8 elements of 16 bits.
Handler matrix_handler(bool loads, int count, bool transposed);

}  // namespace softgpu
