#pragma once

#include <vector>

#include "core/stream.h"

namespace fovea {

/// Rotary position embedding (Su et al. 2021, eq. 34): the pair (a, b) of plane i at position p becomes
///   (a cos - b sin, b cos + a sin)  with the angle p * f_i.
///
/// x, y (N, H, D) of one dtype f32 | bf16 (f64), any strides but the innermost, y may be x; positions (N)
/// i32; cosine, sine (P, R / 2) f32 | f64 with every position < P. The first R elements of a head are
/// rotated, the others copied. Pairs are (i, i + R / 2), or (2 i, 2 i + 1) when interleaved. `inverse`
/// rotates backwards, which is the gradient also where cosine and sine carry a factor.
struct Rope {
  View x, positions, cosine, sine;  // in
  View y;                           // out
  bool interleaved = false, inverse = false;
};
void rope(Stream& stream, const Rope& op);

/// Fills cosine and sine (P, R / 2): those of the angles p * frequencies[i], times the multiplier, in f64.
struct RopeTable {
  View cosine, sine;                // out
  std::vector<double> frequencies;  // (R / 2), radians per position
  double multiplier = 1;
};
void rope_table(Stream& stream, const RopeTable& op);

}  // namespace fovea
