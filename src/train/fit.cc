#include "train/fit.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "config/bytes.h"
#include "core/error.h"

namespace fovea {
namespace {

RecomputePolicy front_policy(SlotSet front, int64 n, SlotSet rest, int64 layers) {
  RecomputePolicy policy{std::vector<SlotSet>(static_cast<size_t>(layers), rest)};
  std::fill_n(policy.cycle.begin(), n, front);
  return policy;
}

// The search for one limit: the sets of slots, none first, and the best policy so far.
struct Search {
  int64 limit, layers;
  const std::vector<SlotCost>& costs;
  FunctionRef<int64(const RecomputePolicy&)> memory;
  RecomputePolicy best = {};
  double best_cost = std::numeric_limits<double>::infinity();

  bool fits(const RecomputePolicy& policy) { return memory(policy) <= limit; }
  bool cheaper(const RecomputePolicy& policy) const { return cost_of(policy, costs).total() < best_cost; }
  void keep(const RecomputePolicy& policy) {
    if (!cheaper(policy)) return;
    best = policy;
    best_cost = cost_of(policy, costs).total();
  }
  // The fewest front blocks with which it fits; with all of them it does.
  void fewest(SlotSet front, SlotSet rest) {
    int64 low = 1, high = layers;
    while (low < high) {
      const int64 n = low + (high - low) / 2;
      if (fits(front_policy(front, n, rest, layers)))
        high = n;
      else
        low = n + 1;
    }
    keep(front_policy(front, low, rest, layers));
  }
};

}  // namespace

RecomputePolicy cheapest_fit(std::string_view limit, const std::vector<SlotCost>& costs, int64 layers,
                             FunctionRef<int64(const RecomputePolicy&)> memory) {
  const std::optional<int64> bytes = bytes_from_text(limit);
  if (!bytes) fail_usage("train.fit is \"{}\": give a size as \"512 MiB\"", limit);
  Search search{*bytes, layers, costs, memory};
  if (search.fits({})) return {};

  std::vector<SlotSet> sets = slots_by_cost(costs);
  sets.back() = SlotSet::all();
  int64 smallest = std::numeric_limits<int64>::max();
  for (size_t front = 1; front < sets.size(); ++front) {
    const RecomputePolicy whole = front_policy(sets[front], layers, {}, layers);
    const int64 taken = memory(whole);
    smallest = std::min(smallest, taken);
    if (taken > *bytes) continue;
    search.keep(whole);
    for (size_t rest = 0; rest < front; ++rest)
      if (search.cheaper(front_policy(sets[front], 1, sets[rest], layers)))
        search.fewest(sets[front], sets[rest]);
  }
  if (!std::isfinite(search.best_cost)) {
    const double mebibytes = std::ceil(static_cast<double>(smallest) / 0x1p20 * 10) / 10;
    fail_usage(
        "train.fit is \"{}\": with everything recomputed this run still takes {:.1f} MiB: set train.fit = "
        "\"{:.1f} MiB\" or more, or lower train.grain",
        limit, mebibytes, mebibytes);
  }
  return search.best;
}

}  // namespace fovea
