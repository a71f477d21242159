#pragma once

#include <algorithm>
#include <cstddef>

#include "kernels/attention/cpu/tiles.h"

namespace fovea::flash {

/// Keys and values that are read after the tile at hand. They are asked for on the way, a line of each in
/// each step of a product: what is asked for at once waits for memory as a read does, and the processor
/// fetches nothing ahead by itself where the rows of a head lie far apart.
///
/// `left` lines of each are wanted, in rows of `row_lines`, of which `row_left` of the row at hand. Where
/// rows of values are shorter than those of keys, or longer, what lies behind the shorter is asked for, too.
struct Ahead {
  const std::byte *k = nullptr, *v = nullptr;
  int64 left = 0, row_left = 0, row_lines = 0;
  int64 k_gap = 0, v_gap = 0;  // from the last line of a row to the next row

  bool last_row() const { return row_left == left; }
  /// The row at hand has been asked for up to these lines; so many are left of it.
  void advance(const std::byte* k_line, const std::byte* v_line, int64 of_row) {
    k = k_line;
    v = v_line;
    left -= row_left - of_row;
    row_left = of_row;
    if (row_left > 0 || left == 0) return;
    k += k_gap;
    v += v_gap;
    row_left = std::min(row_lines, left);
  }
};

}  // namespace fovea::flash
