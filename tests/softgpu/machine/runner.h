#pragma once

#include "machine/machine.h"

namespace softgpu {

/// Runs the warps of one block, in turn, each until it waits at a barrier. Lanes that are at different
/// instructions go on from the lowest, so that they meet again where their ways join.
class Runner {
 public:
  explicit Runner(Machine& machine) : m_(machine) {}

  /// The block that machine.block is, from its first instruction to its end.
  void run_block();

 private:
  struct Barrier {
    uint32_t arrived = 0;  // warps
    uint32_t waiting = 0;  // of them, those that wait
    uint32_t threads = 0;
    uint32_t expected = 0;
    uint32_t votes = 0;  // of bar.red: threads whose predicate holds
    const Op* op = nullptr;
  };

  void run_warp(Warp& warp);
  void run_group(Warp& warp, Group group);
  /// Index of the group that goes on next.
  size_t choose(Warp& warp);
  static void insert(Warp& warp, Group group);
  bool members_present(const Warp& warp, const Op& op, uint32_t mask, uint32_t running);
  void arrive(Warp& warp, const Op& op, uint32_t mask);
  void release(Barrier& barrier);
  [[noreturn]] void nobody_goes_on();

  Machine& m_;
  std::vector<Barrier> barriers_;
  uint64_t budget_ = 0;  // instructions that the block may still do
};

}  // namespace softgpu
