#pragma once

#include "core/random.h"
#include "core/stream.h"

namespace fovea {

/// Counter-based dropout. Element (n, c) has the index e = (first_row + n) * C + c and the uniform number of
/// the upper 24 bits of word e % 4 of the sequence's block e / 4; it is kept where that is >= probability,
/// and then scaled by 1 / (1 - probability). The same bits whenever, and however cut, it is drawn again.
struct Dropout {
  float probability = 0;  ///< 0: everything is kept
  RandomSequence random;
  uint64 first_row = 0;  ///< global index of row 0, so that the cut into grains and ranks does not matter
};

/// out = x + dropout(y): x, out (N, C) of one dtype f32 | bf16 (f64), y (N, C) of its own. out may be x.
struct ResidualAdd {
  View x, y;  // in
  View out;   // out
  Dropout dropout;
};
void residual_add(Stream& stream, const ResidualAdd& op);

/// dy = dropout'(dout), in dy's dtype. (The gradient by x is dout itself.)
struct ResidualAddBackward {
  View dout;  // in
  View dy;    // out
  Dropout dropout;
};
void residual_add_backward(Stream& stream, const ResidualAddBackward& op);

}  // namespace fovea
