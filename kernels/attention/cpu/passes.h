#pragma once

#include <span>

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
/// sink, the gradient of those rows whose last key is the unit's.
void run_unit(const AttentionBackward& op, const Unit& unit, const BackwardMemory& memory, float* dq,
              float* dsink);
void run_unit_in_bf16(const AttentionForward& op, const Unit& unit, const ForwardMemories& memories,
                      const Partials& partials);
void run_unit_in_bf16(const AttentionBackward& op, const Unit& unit, const BackwardMemory& memory, float* dq,
                      float* dsink);
/// What one part of a head's keys has summed of dq.
struct DqPart {
  Range queries;  ///< of each head of the group
  float* sum;     ///< (group, queries, D)
};
/// dq of these queries of each head of a unit's group = the sum of the parts that have them, in their order;
/// of each query's parts the first is overwritten.
void write_dq(const AttentionBackward& op, const Unit& unit, Range queries, std::span<const DqPart> parts);
/// The instruction set that f32 tiles run on, by Highway's name.
const char* highway_target();

}  // namespace fovea::flash
