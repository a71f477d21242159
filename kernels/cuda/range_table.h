#pragma once

#include <vector>

#include "core/types.h"

namespace fovea::cuda {

/// Ranges of a flat operand that one launch goes over, as a parameter of its kernel. Each has blocks of its
/// own, so that a block sees one range.
struct RangeTable {
  static constexpr int kMost = 160;  // with a number for each, of which a kernel's 4 KiB have room

  int count = 0;
  uint32 end_block[kMost] = {};  // of this range, and those before it
  int64 begin[kMost] = {}, end[kMost] = {};

  bool full() const { return count == kMost; }
  int64 blocks() const { return count == 0 ? 0 : end_block[count - 1]; }
  void add(Range range, int64 own_blocks) {
    begin[count] = range.begin;
    end[count] = range.end;
    end_block[count] = static_cast<uint32>(blocks() + own_blocks);
    ++count;
  }

  /// The range of this block.
  __device__ int of_block() const {
    int first = 0, last = count - 1;
    while (first < last) {
      const int middle = (first + last) / 2;
      if (blockIdx.x < end_block[middle])
        last = middle;
      else
        first = middle + 1;
    }
    return first;
  }
  /// This block's number among those of range r.
  __device__ int64 block_of_range(int r) const { return blockIdx.x - (r == 0 ? 0 : end_block[r - 1]); }
};

}  // namespace fovea::cuda
