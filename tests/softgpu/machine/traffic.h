#pragma once

#include <cstdint>

#include "machine/counters.h"
#include "machine/lanes.h"

namespace softgpu {

/// Adds an access of `bytes` by every lane of `mask` to shared memory. Wavefronts: 32 lanes of at most 4
/// bytes go together, 16 of 8, 8 of 16; each such part takes as many as the most distinct words that it asks
/// of one bank (32 banks of 4 bytes). Where all lanes together ask for at most 32 words, the parts go
/// together (broadcast). Ideal: distinct words by 32.
void count_shared(Traffic& traffic, uint32_t mask, const uint64_t (&address)[kLanes], uint32_t bytes);

/// Adds an access to global memory: distinct sectors of 32 bytes against distinct bytes by 32.
void count_global(Traffic& traffic, uint32_t mask, const uint64_t (&address)[kLanes], uint32_t bytes);

}  // namespace softgpu
