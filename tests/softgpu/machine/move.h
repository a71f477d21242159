#pragma once

#include "machine/op.h"

namespace softgpu {

/// mov between registers of `bytes` each.
Handler move_handler(int bytes);
/// mov of `parts` registers into one of `bytes`, and back; null where there is none.
Handler pack_handler(int bytes, int parts);
Handler unpack_handler(int bytes, int parts);
/// r[0] = r[1] + Op::imm, of 8 or 4 bytes: cvta.
Handler offset_handler(int bytes);
/// Whether a generic address lies in Op::space: isspacep.
Handler in_space_handler();
/// mov of a clock: the instructions that this launch has done.
Handler clock_handler(int bytes);

}  // namespace softgpu
