#pragma once

#include <cstdint>
#include <vector>

#include "machine/counters.h"
#include "machine/lanes.h"

namespace softgpu {

/// Counts accesses to shared memory by its banks.
class BankCounter {
 public:
  /// Adds an access of `bytes` by every lane of `mask`. Wavefronts: 32 lanes of at most 4 bytes go together,
  /// 16 of 8, 8 of 16; each such part takes as many as the most distinct words that it asks of one bank (32
  /// banks of 4 bytes). Where all lanes together ask for at most 32 words, the parts go together (broadcast).
  /// Ideal: distinct words by 32.
  void add(Traffic& traffic, uint32_t mask, const uint64_t (&address)[kLanes], uint32_t bytes);

 private:
  // Of the units that are asked for: how many distinct ones, and how many of them the fullest slot has.
  struct Load {
    uint32_t distinct = 0, fullest = 0;
  };
  Load load(uint32_t mask, const uint64_t (&unit)[kLanes], uint32_t slots);

  std::vector<uint64_t> seen_;  // a bit per unit, all zero between calls
};

/// Adds an access to global memory: distinct sectors of 32 bytes against distinct bytes by 32.
void count_global(Traffic& traffic, uint32_t mask, const uint64_t (&address)[kLanes], uint32_t bytes);

}  // namespace softgpu
