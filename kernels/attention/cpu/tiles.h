#pragma once

#include "kernels/attention/attention.h"

namespace fovea::flash {

/// Queries are lanes of vectors: so many stand side by side in a tile, whatever the instruction set.
constexpr int64 kQueries = 32;
/// Keys of one tile: its scores, kKeys x kQueries, stay in the first-level cache.
constexpr int64 kKeys = 64;
/// Bytes that memory is read by.
constexpr int64 kLine = 64;
/// Columns are padded to whole vectors of the widest instruction set.
constexpr int64 kPad = 16;

/// Heads that a unit does side by side, at most.
constexpr int64 kMostHeads = 16;
/// Keys that they do at a time: few enough that as many more are fetched meanwhile.
int64 shared_keys(const AttentionProblem& problem, int64 heads);
/// Rows of a group that make a product of their own (quads-inl.h), at most.
constexpr int64 kFewRows = 16;

/// Columns of f32, padded.
constexpr int64 padded(int64 columns) { return round_up(columns, kPad); }
/// Elements of four bytes that a row of so many columns takes, each `width` numbers wide.
constexpr int64 elements(int64 columns, int64 width) { return round_up(columns, kPad * width) / width; }
/// Keys of which a backward unit keeps gradients at once: many, since all rows that see them are packed anew
/// for each block; no result depends on it.
int64 key_block(const AttentionProblem& problem);
/// 2 where the problem is computed in pairs of bf16, 1 where in f32.
int64 tile_width(const AttentionProblem& problem);

/// Rows of a product that one run of the micro-kernel makes.
constexpr int64 kRowBlock = 8;

/// Keys that at least one of some rows sees, and keys that every one sees.
struct Seen {
  Range any, all;
};
/// The same of the rows of a tile, and of each block of them.
struct SeenTile {
  Seen rows, blocks[kQueries / kRowBlock];
};

}  // namespace fovea::flash
