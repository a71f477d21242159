#include "machine/shared_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "machine/lanes.h"

namespace softgpu {

SharedMemory::SharedMemory(uint64_t bytes, uint32_t granule_log2, const BlockClock& clock)
    : clock_(clock), granule_(granule_log2), data_(bytes) {
  const uint64_t granules = (bytes >> granule_) + 16;
  write_.resize(granules);
  readers_.resize(granules);
  read_generation_.resize(granules);
}

void SharedMemory::begin_block() {
  std::memset(data_.data(), 0xFF, data_.size());
  std::fill(write_.begin(), write_.end(), 0);
  std::fill(read_generation_.begin(), read_generation_.end(), 0);
}

bool SharedMemory::readable(uint32_t write, uint32_t warp, bool synchronises) const {
  if (write == 0 || (write & kOwed) != 0) return false;
  return ((write & kAtomic) != 0 && synchronises) || clock_.ordered(write & 31, (write & kRecord) >> 5, warp);
}

bool SharedMemory::writable(uint32_t granule, uint32_t warp, bool synchronises) const {
  const uint32_t write = write_[granule];
  if (write != 0 && !readable(write, warp, synchronises)) return false;
  if (read_generation_[granule] <= clock_.settled()) return true;
  bool good = true;
  for_lanes(readers_[granule] & ~(1U << warp), [&](int other) {
    good = good && clock_.ordered(static_cast<uint32_t>(other), read_generation_[granule], warp);
  });
  return good;
}

// Of what is settled, or the warp's own: nearly every access. False says nothing; then nothing was recorded.
template <uint32_t Count>
bool SharedMemory::read_quickly(uint32_t first, uint32_t warp) {
  const uint32_t before = (clock_.settled() + 1) << 5;
  const uint32_t settled = clock_.settled();
  const uint32_t now = clock_.generation();
  const uint32_t bit = 1U << warp;
  uint32_t good = 1;
  for (uint32_t i = 0; i < Count; ++i) {
    const uint32_t w = write_[first + i];
    const uint32_t mine = (w & (kOwed | kAtomic | 31)) == warp ? 1 : 0;
    good &= (w != 0 ? 1U : 0U) & (mine | (w < before ? 1U : 0U));
  }
  if (good == 0) return false;
  for (uint32_t i = 0; i < Count; ++i) {
    readers_[first + i] = (read_generation_[first + i] > settled ? readers_[first + i] : 0) | bit;
    read_generation_[first + i] = now;
  }
  return true;
}

template <uint32_t Count>
bool SharedMemory::write_quickly(uint32_t first, uint32_t warp, uint32_t made) {
  const uint32_t before = (clock_.settled() + 1) << 5;
  const uint32_t settled = clock_.settled();
  const uint32_t others = ~(1U << warp);
  uint32_t good = 1;
  for (uint32_t i = 0; i < Count; ++i) {
    const uint32_t w = write_[first + i];
    const uint32_t mine = (w & (kOwed | kAtomic | 31)) == warp ? 1 : 0;
    const uint32_t unread =
        (read_generation_[first + i] <= settled ? 1U : 0U) | ((readers_[first + i] & others) == 0 ? 1U : 0U);
    good &= (mine | (w < before ? 1U : 0U)) & unread;
  }
  if (good == 0) return false;
  for (uint32_t i = 0; i < Count; ++i) {
    write_[first + i] = made;
    read_generation_[first + i] = 0;
  }
  return true;
}

bool SharedMemory::read(uint32_t offset, uint32_t bytes, uint32_t warp, bool synchronises) {
  const uint32_t first = offset >> granule_;
  const uint32_t count = std::max(bytes >> granule_, 1U);
  if (!synchronises) {
    bool good = false;
    switch (count) {
      case 1:
        good = read_quickly<1>(first, warp);
        break;
      case 2:
        good = read_quickly<2>(first, warp);
        break;
      case 4:
        good = read_quickly<4>(first, warp);
        break;
      case 8:
        good = read_quickly<8>(first, warp);
        break;
      case 16:
        good = read_quickly<16>(first, warp);
        break;
      case 32:
        good = read_quickly<32>(first, warp);
        break;
      case 64:
        good = read_quickly<64>(first, warp);
        break;
      case 128:
        good = read_quickly<128>(first, warp);
        break;
      default:
        break;
    }
    if (good) return true;
  }
  for (uint32_t i = first; i < first + count; ++i) {
    if (!readable(write_[i], warp, synchronises)) return false;
    if (synchronises) continue;  // an atomic's own write is what others meet
    readers_[i] = (read_generation_[i] > clock_.settled() ? readers_[i] : 0) | 1U << warp;
    read_generation_[i] = clock_.generation();
  }
  return true;
}

bool SharedMemory::write(uint32_t offset, uint32_t bytes, uint32_t warp, bool synchronises) {
  const uint32_t first = offset >> granule_;
  const uint32_t count = std::max(bytes >> granule_, 1U);
  const uint32_t made = record(warp) | (synchronises ? kAtomic : 0);
  bool good = false;
  switch (count) {
    case 1:
      good = write_quickly<1>(first, warp, made);
      break;
    case 2:
      good = write_quickly<2>(first, warp, made);
      break;
    case 4:
      good = write_quickly<4>(first, warp, made);
      break;
    case 8:
      good = write_quickly<8>(first, warp, made);
      break;
    case 16:
      good = write_quickly<16>(first, warp, made);
      break;
    case 32:
      good = write_quickly<32>(first, warp, made);
      break;
    case 64:
      good = write_quickly<64>(first, warp, made);
      break;
    case 128:
      good = write_quickly<128>(first, warp, made);
      break;
    default:
      break;
  }
  if (good) return true;
  for (uint32_t i = first; i < first + count; ++i) {
    if (!writable(i, warp, synchronises)) return false;
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
  const uint32_t made = record(warp);
  for (uint32_t i = offset >> granule_; i <= (offset + bytes - 1) >> granule_; ++i) write_[i] = made;
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
    if (write != 0 && !clock_.ordered(write & 31, (write & kRecord) >> 5, warp)) {
      return {"race", fmt::format("warp {} wrote byte {} of shared memory, and no barrier is between",
                                  write & 31, at)};
    }
    if (!writes || read_generation_[i] <= clock_.settled()) continue;
    for (uint32_t other = 0; other < clock_.warps(); ++other) {
      if (has(readers_[i], static_cast<int>(other)) && !clock_.ordered(other, read_generation_[i], warp)) {
        return {"race",
                fmt::format("warp {} read byte {} of shared memory, and no barrier is between", other, at)};
      }
    }
  }
  return {"race", "of shared memory"};
}

}  // namespace softgpu
