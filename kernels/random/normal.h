#pragma once

#include "core/random.h"

namespace fovea {

/// out[i] = deviation * random.normal(first + i) rounded to f32, i in [0, n), to the bit as that expression
/// gives it, on vectors.
void draw_normal(const RandomSequence& random, double deviation, uint64 first, int64 n, float* out);

}  // namespace fovea
