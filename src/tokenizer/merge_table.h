#pragma once

#include <vector>

#include "core/types.h"

namespace fovea {

/// The merges of a byte-pair encoding: which pairs of tokens become which, the lower ranks first. A flat hash
/// table: it is asked for every pair of every new word.
class MergeTable {
 public:
  static constexpr uint32 kNone = 0xFFFFFFFFu;
  struct Merge {
    uint32 rank = kNone;  ///< kNone: the pair is not merged
    int32 id = 0;         ///< what it becomes
  };

  /// Room for so many merges.
  explicit MergeTable(size_t merges = 0) {
    size_t slots = 4;
    while (slots < 2 * merges) slots *= 2;
    slots_.resize(slots);
    for (shift_ = 64; slots > 1; slots /= 2) --shift_;
  }
  /// Of a pair that is entered twice the last merge counts.
  void set(int32 left, int32 right, Merge merge) {
    Slot& slot = slots_[index_of(key_of(left, right))];
    slot = {key_of(left, right), merge};
  }
  Merge find(int32 left, int32 right) const { return slots_[index_of(key_of(left, right))].merge; }

 private:
  struct Slot {
    uint64 key = ~uint64{0};
    Merge merge;
  };
  static uint64 key_of(int32 left, int32 right) {
    return uint64{static_cast<uint32>(left)} << 32 | static_cast<uint32>(right);
  }
  /// The slot of a key, or the free one where it would stand.
  size_t index_of(uint64 key) const {
    size_t i = (key ^ key >> 29) * 0x9E3779B97F4A7C15u >> shift_;
    while (slots_[i].key != key && slots_[i].key != ~uint64{0}) i = (i + 1) & (slots_.size() - 1);
    return i;
  }

  std::vector<Slot> slots_;
  int shift_ = 62;
};

}  // namespace fovea
