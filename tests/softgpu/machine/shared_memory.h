#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "machine/block_clock.h"

namespace softgpu {

/// A block's shared memory with what is known of it per granule (the smallest access that the kernel makes):
/// who wrote it last, who has read it since, and whether a cp.async still owes it.
class SharedMemory {
 public:
  SharedMemory(uint64_t bytes, uint32_t granule_log2, const BlockClock& clock);

  /// As a block finds it: 0xFF, and nothing written.
  void begin_block();

  uint64_t size() const { return data_.size(); }
  std::byte* data(uint64_t offset) { return data_.data() + offset; }

  /// Checks and records an access of `warp` to [offset, offset + bytes), which is inside and aligned. Returns
  /// false where it is wrong, and then problem() says how.
  bool read(uint32_t offset, uint32_t bytes, uint32_t warp, bool synchronises);
  bool write(uint32_t offset, uint32_t bytes, uint32_t warp, bool synchronises);
  /// A cp.async: a write that stays owed until land().
  bool start_copy(uint32_t offset, uint32_t bytes, uint32_t warp);
  void land(uint32_t offset, uint32_t bytes, uint32_t warp);
  struct Problem {
    const char* kind = "";
    std::string text;
  };
  Problem problem(uint32_t offset, uint32_t bytes, uint32_t warp, bool writes) const;

 private:
  // Of a write: bit 31 owed, bit 30 atomic, then generation, and the warp in the low 5 bits; 0: never
  // written.
  static constexpr uint32_t kOwed = 1U << 31;
  static constexpr uint32_t kAtomic = 1U << 30;
  static constexpr uint32_t kRecord = kAtomic - 1;
  uint32_t record(uint32_t warp) const { return clock_.generation() << 5 | warp; }
  bool readable(uint32_t write, uint32_t warp, bool synchronises) const;
  bool writable(uint32_t granule, uint32_t warp, bool synchronises) const;
  template <uint32_t Count>
  bool read_quickly(uint32_t first, uint32_t warp);
  template <uint32_t Count>
  bool write_quickly(uint32_t first, uint32_t warp, uint32_t record);

  const BlockClock& clock_;
  uint32_t granule_;
  std::vector<std::byte> data_;
  std::vector<uint32_t> write_;            // per granule
  std::vector<uint32_t> readers_;          // warps that have read since, as bits
  std::vector<uint32_t> read_generation_;  // in which the last of them did
};

}  // namespace softgpu
