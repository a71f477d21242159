#pragma once

#include <cstdint>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "machine/block_clock.h"

namespace softgpu {

/// Which accesses of blocks that have run, or of other warps, are before those of the warps of the block that
/// runs, by releases and acquires through global memory (PTX ISA 8.8): a fence (or .release), then an atomic,
/// volatile or relaxed write; in another warp such a read of it, then a fence (or .acquire). What a warp of a
/// block knows, others of the block learn at barriers. Locks and tickets of one launch come out as order;
/// anything else is a race.
class LaunchOrder {
 public:
  LaunchOrder(const BlockClock& clock) : clock_(clock), warps_(clock.warps()) {}

  void begin_block(uint64_t block);
  /// A fence of device or system scope.
  void fence(uint32_t warp);
  void acquire(uint32_t warp);
  /// Accesses to `address` that may synchronise.
  void strong_read(uint32_t warp, uint64_t address);
  void strong_write(uint32_t warp, uint64_t address, bool replaces);
  void barrier(uint32_t arrived, uint32_t waited);

  /// Whether what `other` of `block`, another block than the one that runs, did in `generation` is before
  /// what `warp` does now.
  bool ordered(uint64_t block, uint32_t other, uint32_t generation, uint32_t warp);

 private:
  // What is before one fence: of its warp everything so far, of its block's others what the warp knew, and
  // what other releases said that it had acquired.
  struct Release {
    uint64_t block = 0;
    uint32_t warp = 0, generation = 0, settled = 0;
    std::vector<uint32_t> known;     // empty: nothing beyond what is settled
    std::vector<uint32_t> acquired;  // other releases
    bool covers(uint32_t other, uint32_t when) const {
      return when <= settled || (other == warp && when <= generation) ||
             (!known.empty() && known[other] >= when);
    }
  };
  struct Knowledge {
    std::vector<uint32_t> observed;  // releases that it has read from, and no fence since
    std::vector<uint32_t> acquired;
    std::vector<uint32_t> fenced;  // its releases (or the block's, learnt at barriers) that a write publishes
    std::unordered_map<uint64_t, std::vector<uint32_t>> by_block;  // of those acquired, looked through so far
    std::unordered_set<uint32_t> seen;
    std::vector<uint32_t> unseen;  // to look through
  };
  void learn(Knowledge& knowledge, const std::vector<uint32_t>& releases);

  const BlockClock& clock_;
  uint64_t block_ = 0;
  std::vector<Release> releases_;
  std::unordered_map<uint64_t, std::vector<uint32_t>> published_;  // by address
  std::vector<Knowledge> warps_;
};

}  // namespace softgpu
