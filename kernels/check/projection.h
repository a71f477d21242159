#pragma once

#include "core/random.h"

namespace fovea::check {

/// Numbers of a random projection of an output onto a loss: dloss/doutput[i].
inline double projection(uint64 seed, int64 i) {
  return RandomSequence{seed, RandomUse::synthetic, 1000}.normal(static_cast<uint64>(i));
}

}  // namespace fovea::check
