#pragma once

#include "kernels/attention/cpu/memory.h"

namespace fovea::flash {

// One unit on one worker's memory, in f32 (dispatched to the best instruction set) or in pairs of bf16, as
// tile_width() says.
void run_unit(const AttentionForward& op, const Unit& unit, const ForwardMemories& memories,
              const Partials& partials);
/// out and lse of the rows of a unit's first head, whose keys were cut into parts.
void merge_parts(const AttentionForward& op, const Unit& unit, const ForwardMemory& memory,
                 const Partials& partials);
/// Sums into `dq` (R, D) f32, which it first clears; writes dk and dv; into dsink (group), where there is a
/// sink and the unit is the first of its head, this sequence's gradient.
void run_unit(const AttentionBackward& op, const Unit& unit, const BackwardMemory& memory, float* dq,
              float* dsink);
void run_unit_in_bf16(const AttentionForward& op, const Unit& unit, const ForwardMemories& memories,
                      const Partials& partials);
void run_unit_in_bf16(const AttentionBackward& op, const Unit& unit, const BackwardMemory& memory, float* dq,
                      float* dsink);
/// dq of rows of a group = the sum of `parts` f32 copies (R, D), part_stride elements apart, in their order;
/// the first is overwritten.
void write_dq(const AttentionBackward& op, const Unit& unit, Range rows, float* dq, int64 parts,
              int64 part_stride);
/// The instruction set that f32 tiles run on, by Highway's name.
const char* highway_target();

}  // namespace fovea::flash
