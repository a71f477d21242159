#pragma once

#include <cstdint>
#include <vector>

namespace softgpu {

/// Time within a block, for telling which accesses of its warps are ordered. Counted in generations: a
/// barrier or a fence ends one. What is of an earlier generation than the last barrier of the whole block is
/// before everything; otherwise warps are compared by what each knows of each other (FastTrack, Flanagan and
/// Freund 2009, with a warp as the thread: its lanes run in lockstep or meet in __syncwarp).
class BlockClock {
 public:
  explicit BlockClock(uint32_t warps) : warps_(warps) { begin_block(); }

  void begin_block();
  /// What the warps of `arrived` did is before what those of `waited` do from now on.
  void barrier(uint32_t arrived, uint32_t waited);
  /// Accesses from now on are told from those before.
  void tick() { ++generation_; }

  /// Whether what `other` did in `generation` is before what `warp` does now.
  bool ordered(uint32_t other, uint32_t generation, uint32_t warp) const {
    return generation <= settled_ || other == warp || known_[warp][other] >= generation;
  }
  uint32_t generation() const { return generation_; }
  /// Generations up to this are before everything.
  uint32_t settled() const { return settled_; }
  uint32_t warps() const { return warps_; }
  /// Per other warp, the generation up to which `warp` has waited for it.
  const std::vector<uint32_t>& known(uint32_t warp) const { return known_[warp]; }
  uint32_t all() const { return warps_ == 32 ? 0xFFFFFFFF : (1U << warps_) - 1; }

 private:
  uint32_t warps_;
  uint32_t generation_ = 1;
  uint32_t settled_ = 0;
  std::vector<std::vector<uint32_t>> known_;
};

}  // namespace softgpu
