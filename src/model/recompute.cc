#include "model/recompute.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/error.h"

namespace fovea {
namespace {

struct SlotTotal {
  Slot slot = Slot::norm1;
  double flops = 0;
  int64 bytes = 0;
  double flops_per_byte() const { return flops / static_cast<double>(bytes); }
};

// Over all blocks; the slots that there are.
std::vector<SlotTotal> totals(const std::vector<SlotCost>& costs) {
  std::array<SlotTotal, kSlots> all;
  for (size_t i = 0; i < kSlots; ++i) all[i].slot = static_cast<Slot>(i);
  for (const SlotCost& cost : costs) {
    SlotTotal& total = all[static_cast<size_t>(cost.slot)];
    total.flops += cost.flops;
    total.bytes += cost.bytes;
  }
  std::vector<SlotTotal> present;
  std::copy_if(all.begin(), all.end(), std::back_inserter(present),
               [](const SlotTotal& total) { return total.bytes > 0; });
  return present;
}

}  // namespace

std::string_view name_of(Slot slot) {
  constexpr std::array<std::string_view, kSlots> kNames = {
      "norm1",  "q_raw", "k_raw", "q",  "k",       "v",         "attended", "attention_branch",
      "middle", "norm2", "gate",  "up", "product", "mlp_branch"};
  return kNames[static_cast<size_t>(slot)];
}

double RecomputeCost::total() const { return flops + kFlopsPerByte * static_cast<double>(bytes); }

RecomputeCost cost_of(const RecomputePolicy& policy, const std::vector<SlotCost>& costs) {
  RecomputeCost sum;
  for (const SlotCost& cost : costs)
    if (policy.drops(cost.block).contains(cost.slot)) {
      sum.flops += cost.flops;
      sum.bytes += cost.bytes;
    }
  return sum;
}

RecomputePolicy selective_policy(const std::vector<SlotCost>& costs) {
  SlotSet cheap;
  for (const SlotTotal& total : totals(costs))
    if (total.flops_per_byte() < kFlopsPerByte) cheap.add(total.slot);
  if (cheap.empty()) return {};
  return {{cheap}};
}

std::vector<SlotSet> slots_by_cost(const std::vector<SlotCost>& costs) {
  std::vector<SlotTotal> order = totals(costs);
  std::stable_sort(order.begin(), order.end(), [](const SlotTotal& a, const SlotTotal& b) {
    return a.flops_per_byte() < b.flops_per_byte();
  });
  std::vector<SlotSet> sets(1);
  for (const SlotTotal& total : order) {
    sets.push_back(sets.back());
    sets.back().add(total.slot);
  }
  return sets;
}

RecomputePolicy recompute_policy_named(std::string_view name, const std::vector<SlotCost>& costs) {
  constexpr std::string_view kEvery = "every ";
  constexpr int64 kMostBlocks = 1 << 20;
  if (name == "none") return {};
  if (name == "block") return {{SlotSet::all()}};
  if (name == "selective") {
    FOVEA_CHECK(!costs.empty(), "selective without the slots' costs");
    return selective_policy(costs);
  }
  if (name.starts_with(kEvery)) {
    const std::string_view digits = name.substr(kEvery.size());
    int64 every = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), every);
    if (error == std::errc() && end == digits.data() + digits.size() && every > 0) {
      RecomputePolicy policy;
      policy.cycle.resize(static_cast<size_t>(std::min(every, kMostBlocks)));
      policy.cycle[0] = SlotSet::all();
      return policy;
    }
  }
  fail_usage("train.recompute is \"{}\": choose none, block, selective, or every k-th block as \"every 2\"",
             name);
}

namespace {

std::string names_of(SlotSet slots) {
  if (slots == SlotSet::all()) return "everything";
  std::string names;
  for (size_t i = 0; i < kSlots; ++i)
    if (const auto slot = static_cast<Slot>(i); slots.contains(slot))
      names += fmt::format("{}{}", names.empty() ? "" : ", ", name_of(slot));
  return names;
}

// "0 to 2, 4" of the blocks that drop just these slots.
std::string blocks_of(const RecomputePolicy& policy, SlotSet slots, int64 layers) {
  std::string text;
  for (Range blocks; blocks.begin < layers; blocks.begin = blocks.end) {
    const bool here = policy.drops(blocks.begin) == slots;
    for (blocks.end = blocks.begin + 1; blocks.end < layers && (policy.drops(blocks.end) == slots) == here;)
      ++blocks.end;
    if (!here) continue;
    if (blocks.size() == layers) return "every block";
    text += fmt::format("{}{}", text.empty() ? "" : ", ", blocks.begin);
    if (blocks.size() > 1) text += fmt::format(" to {}", blocks.end - 1);
  }
  return (text.find_first_of(" ,") == text.npos ? "block " : "blocks ") + text;
}

}  // namespace

std::string describe(const RecomputePolicy& policy, int64 layers) {
  std::vector<SlotSet> sets;
  for (int64 block = 0; block < layers; ++block)
    if (const SlotSet slots = policy.drops(block);
        !slots.empty() && std::find(sets.begin(), sets.end(), slots) == sets.end())
      sets.push_back(slots);
  std::string text;
  for (const SlotSet slots : sets)
    text += fmt::format("{}{} of {}", text.empty() ? "" : "; ", names_of(slots),
                        blocks_of(policy, slots, layers));
  return text.empty() ? "nothing" : text;
}

}  // namespace fovea
