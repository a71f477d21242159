#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "machine/machine.h"

namespace softgpu {

/// A block's shared memory with what is known of it per granule (the smallest access that the kernel makes):
/// who wrote it last, who has read it since, and whether a cp.async still owes it.
///
/// Time is counted in generations: a barrier ends one. A record of an earlier generation than the last
/// barrier of the whole block is ordered before everything; otherwise warps are compared by what each knows
/// of each other (FastTrack, Flanagan and Freund 2009, with a warp as the thread: its lanes run in lockstep
/// or meet in __syncwarp).
class SharedMemory {
 public:
  SharedMemory(uint64_t bytes, uint32_t granule_log2, uint32_t warps);

  /// As a block finds it: 0xFF, and nothing written.
  void begin_block();

  uint64_t size() const { return bytes_; }
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

  /// What a barrier orders: what the warps of `arrived` did is before what those of `waited` do from now on.
  void barrier(uint32_t arrived, uint32_t waited);
  /// Whether what `other` did in `generation` is before what `warp` does now.
  bool ordered(uint32_t other, uint32_t generation, uint32_t warp) const {
    return generation <= settled_ || other == warp || known_[warp][other] >= generation;
  }
  uint32_t generation() const { return generation_; }

 private:
  // Of a write: bit 31 owed, bit 30 atomic, then generation, and the warp in the low 5 bits; 0: never
  // written.
  static constexpr uint32_t kOwed = 1U << 31;
  static constexpr uint32_t kAtomic = 1U << 30;
  static constexpr uint32_t kRecord = kAtomic - 1;
  uint32_t record(uint32_t warp) const { return generation_ << 5 | warp; }
  bool readable(uint32_t write, uint32_t warp, bool synchronises) const;
  bool writable(uint32_t write, uint32_t readers, uint32_t read_generation, uint32_t warp,
                bool synchronises) const;

  uint64_t bytes_;
  uint32_t granule_, warps_;
  std::vector<std::byte> data_;
  std::vector<uint32_t> write_;            // per granule
  std::vector<uint32_t> readers_;          // warps that have read since, as bits
  std::vector<uint32_t> read_generation_;  // in which the last of them did
  uint32_t generation_ = 1;
  uint32_t settled_ = 0;  // generations up to this are before everything
  std::vector<std::vector<uint32_t>>
      known_;  // [warp][other]: the generation of other that warp has waited for
};

}  // namespace softgpu
