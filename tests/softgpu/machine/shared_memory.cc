#include "machine/shared_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace softgpu {

SharedMemory::SharedMemory(uint64_t bytes, uint32_t granule_log2, uint32_t warps)
    : bytes_(bytes), granule_(granule_log2), warps_(warps), data_(bytes) {
  const uint64_t granules = (bytes >> granule_) + 16;
  write_.resize(granules);
  readers_.resize(granules);
  read_generation_.resize(granules);
  known_.assign(warps, std::vector<uint32_t>(warps));
}

void SharedMemory::begin_block() {
  std::memset(data_.data(), 0xFF, data_.size());
  std::fill(write_.begin(), write_.end(), 0);
  std::fill(read_generation_.begin(), read_generation_.end(), 0);
  for (auto& row : known_) std::fill(row.begin(), row.end(), 0);
  generation_ = 1;
  settled_ = 0;
}

inline bool SharedMemory::readable(uint32_t write, uint32_t warp, bool synchronises) const {
  if (write == 0 || (write & kOwed) != 0) return false;
  return ((write & kAtomic) != 0 && synchronises) || ordered(write & 31, (write & kRecord) >> 5, warp);
}

inline bool SharedMemory::writable(uint32_t write, uint32_t readers, uint32_t read_generation, uint32_t warp,
                                   bool synchronises) const {
  if (write != 0 && !readable(write, warp, synchronises)) return false;
  if (read_generation <= settled_) return true;
  uint32_t others = readers & ~(1U << warp);
  for (; others != 0; others &= others - 1) {
    if (!ordered(__builtin_ctz(others), read_generation, warp)) return false;
  }
  return true;
}

bool SharedMemory::read(uint32_t offset, uint32_t bytes, uint32_t warp, bool synchronises) {
  const uint32_t first = offset >> granule_;
  const uint32_t last = (offset + bytes - 1) >> granule_;
  bool good = true;
  for (uint32_t i = first; i <= last; ++i) {
    // An atomic read of what atomics wrote, and nobody's read, is recorded as a reader too: only plain writes
    // mind.
    good &= readable(write_[i], warp, synchronises);
    readers_[i] = (read_generation_[i] > settled_ ? readers_[i] : 0) | 1U << warp;
    read_generation_[i] = generation_;
  }
  return good;
}

bool SharedMemory::write(uint32_t offset, uint32_t bytes, uint32_t warp, bool synchronises) {
  const uint32_t first = offset >> granule_;
  const uint32_t last = (offset + bytes - 1) >> granule_;
  const uint32_t made = record(warp) | (synchronises ? kAtomic : 0);
  for (uint32_t i = first; i <= last; ++i) {
    if (!writable(write_[i], readers_[i], read_generation_[i], warp, synchronises)) return false;
    write_[i] = made;
    read_generation_[i] = 0;
  }
  return true;
}

bool SharedMemory::start_copy(uint32_t offset, uint32_t bytes, uint32_t warp) {
  if (!write(offset, bytes, warp, false)) return false;
  for (uint32_t i = offset >> granule_; i <= (offset + bytes - 1) >> granule_; ++i) write_[i] |= kOwed;
  return true;
}

void SharedMemory::land(uint32_t offset, uint32_t bytes, uint32_t warp) {
  for (uint32_t i = offset >> granule_; i <= (offset + bytes - 1) >> granule_; ++i) write_[i] = record(warp);
}

SharedMemory::Problem SharedMemory::problem(uint32_t offset, uint32_t bytes, uint32_t warp,
                                            bool writes) const {
  for (uint32_t i = offset >> granule_; i <= (offset + bytes - 1) >> granule_; ++i) {
    const uint32_t write = write_[i];
    const uint32_t at = i << granule_;
    if (write == 0 && !writes) {
      return {"uninitialised", fmt::format("byte {} of shared memory was never written", at)};
    }
    if ((write & kOwed) != 0) {
      return {"pending copy",
              fmt::format(
                  "byte {} of shared memory is owed by a cp.async of warp {}: no wait_group has covered it",
                  at, write & 31)};
    }
    if (write != 0 && !ordered(write & 31, (write & kRecord) >> 5, warp)) {
      return {"race", fmt::format("warp {} wrote byte {} of shared memory, and no barrier is between",
                                  write & 31, at)};
    }
    if (!writes || read_generation_[i] <= settled_) continue;
    for (uint32_t other = 0; other < warps_; ++other) {
      if (has(readers_[i], static_cast<int>(other)) && !ordered(other, read_generation_[i], warp)) {
        return {"race",
                fmt::format("warp {} read byte {} of shared memory, and no barrier is between", other, at)};
      }
    }
  }
  return {"race", "of shared memory"};
}

void SharedMemory::barrier(uint32_t arrived, uint32_t waited) {
  const uint32_t all = warps_ == 32 ? 0xFFFFFFFF : (1U << warps_) - 1;
  if (arrived == all && waited == all) {
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
