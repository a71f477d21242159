#include "machine/block_clock.h"

#include <algorithm>

#include "machine/lanes.h"

namespace softgpu {

void BlockClock::begin_block() {
  known_.assign(warps_, std::vector<uint32_t>(warps_));
  generation_ = 1;
  settled_ = 0;
}

void BlockClock::barrier(uint32_t arrived, uint32_t waited) {
  if (arrived == all() && waited == all()) {
    settled_ = generation_++;
    return;
  }
  std::vector<uint32_t> joined(warps_);
  for_lanes(arrived | waited, [&](int w) {
    for (uint32_t other = 0; other < warps_; ++other)
      joined[other] = std::max(joined[other], known_[w][other]);
    joined[w] = generation_;
  });
  for_lanes(waited, [&](int w) {
    for (uint32_t other = 0; other < warps_; ++other)
      known_[w][other] = std::max(known_[w][other], joined[other]);
  });
  ++generation_;
}

}  // namespace softgpu
