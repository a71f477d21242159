#pragma once

#include "kernels/attention/cuda/forward.h"

namespace fovea::cuda {

/// Where a row of a tile stands: row = query * group + head of the group.
struct RowPlace {
  int query, head;  ///< within its sequence; among all query heads
};

/// The keys that some of a few neighbouring rows see, and those that all of them see.
struct WarpKeys {
  Interval some, all;
};

/// What one block computes: some rows of one sequence and key/value head, against tiles [begin, end) of keys.
struct ForwardTile {
  DeviceSequence sequence;
  int kv_head, split;
  int first, rows;  ///< rows of the sequence that are there
  int begin, end;

  __device__ RowPlace place(const DeviceProblem& problem, int row) const {
    const int at = first + row, query = problem.by_group.quotient(at);
    return {query, kv_head * problem.group + at - query * problem.group};
  }
  /// None where there is no such row.
  __device__ Interval keys_of_row(const DeviceProblem& problem, int row) const {
    return row < rows ? sequence.keys_of(place(problem, row).query) : Interval{};
  }
  __device__ WarpKeys keys_of(const DeviceProblem& problem, int row, int count) const {
    if (row >= rows) return {};
    const int last = row + count < rows ? row + count - 1 : rows - 1;
    const Interval top = sequence.keys_of(place(problem, row).query);
    const Interval bottom = sequence.keys_of(place(problem, last).query);
    return {{top.begin, bottom.end}, {bottom.begin, top.end}};
  }
};

/// The tile of this block. Blocks of one head are neighbours, since they read the same keys; the last rows
/// come first, since with a causal mask they see most.
template <int M, int N>
__device__ inline ForwardTile forward_tile(const ForwardArguments& x) {
  const DeviceProblem& problem = x.problem;
  uint32 rest = blockIdx.x;
  const auto next = [&rest](int count) {
    const uint32 digit = rest % static_cast<uint32>(count);
    rest /= static_cast<uint32>(count);
    return static_cast<int>(digit);
  };
  const int number = x.tile_count - 1 - next(x.tile_count);
  ForwardTile tile;
  tile.split = next(x.splits);
  tile.kv_head = next(problem.kv_heads);
  const TileStart start = x.tiles ? x.tiles[number] : TileStart{static_cast<int>(rest), number * M};
  tile.sequence = problem.sequence(start.sequence);
  tile.first = start.row;
  const int left = tile.sequence.q_len * problem.group - start.row;
  tile.rows = left < M ? left : M;
  const Interval seen = tile.keys_of(problem, 0, tile.rows).some;
  const int begin = seen.begin / N, count = seen.empty() ? 0 : (seen.end + N - 1) / N - begin;
  const auto cut = [&](int part) { return begin + static_cast<int>(int64{count} * part / x.splits); };
  tile.begin = cut(tile.split);
  tile.end = cut(tile.split + 1);
  return tile;
}

}  // namespace fovea::cuda
