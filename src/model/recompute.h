#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/saved.h"

namespace fovea {

/// Which slots are dropped in the forward and filled again in the backward (Chen et al. 2016): of block l
/// those of cycle[l mod size]; without a cycle, none.
struct RecomputePolicy {
  std::vector<SlotSet> cycle;
  SlotSet drops(int64 block) const {
    return cycle.empty() ? SlotSet() : cycle[static_cast<size_t>(block) % cycle.size()];
  }
  bool operator==(const RecomputePolicy&) const = default;
};

/// What filling one slot of one block takes, for the rows of one grain, and what dropping it saves.
struct SlotCost {
  int64 block = 0;
  Slot slot = Slot::norm1;
  double flops = 0;
  int64 bytes = 0;  ///< of the slot
};

/// What a policy does a second time in one step of one grain. Each slot that was dropped is filled once, from
/// slots that are full by then: costs add.
struct RecomputeCost {
  double flops = 0;
  int64 bytes = 0;  ///< written again
  /// The time of it, in floating-point operations.
  double total() const;
};
RecomputeCost cost_of(const RecomputePolicy& policy, const std::vector<SlotCost>& costs);

/// Floating-point operations that a processor does while memory moves one byte: 100 GFLOP/s and about 6 GB/s
/// per core. A slot whose filling takes fewer per byte is bound by memory: it costs little more to fill than
/// to read.
inline constexpr double kFlopsPerByte = 16;

/// Drops in every block the slots that are filled with fewer than kFlopsPerByte operations per byte (norms,
/// products of activations, rotated heads behind a norm) and keeps what products of matrices and attention
/// made. After the selective recomputation of Korthikanti et al. 2023, whose cheap part, the scores, is never
/// kept here.
RecomputePolicy selective_policy(const std::vector<SlotCost>& costs);

/// The sets of slots along which memory is bought at the lowest price: from none to all, each with one slot
/// more than the one before, by rising cost per byte.
std::vector<SlotSet> slots_by_cost(const std::vector<SlotCost>& costs);

/// "none", "block" (everything, in every block), "every 2" (likewise in every second) or "selective", which
/// alone looks at the costs. Throws UserError (usage).
RecomputePolicy recompute_policy_named(std::string_view name, const std::vector<SlotCost>& costs = {});

/// "norm1, norm2 of blocks 0 to 2; norm1 of block 3"; "nothing".
std::string describe(const RecomputePolicy& policy, int64 layers);

}  // namespace fovea
