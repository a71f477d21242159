#pragma once

#include <string_view>
#include <vector>

#include "core/thread_pool.h"
#include "model/recompute.h"

namespace fovea {

/// Of the policies under which the first n blocks drop one of slots_by_cost() and the others another that
/// comes before it, the one that costs least among those whose memory is at most what `limit` says ("512
/// MiB"). Blocks at the front save most: the backward comes to the last ones while all others still hold
/// theirs.
///
/// memory: what a run takes under a policy. Throws UserError (usage) with the smallest size when none fits.
RecomputePolicy cheapest_fit(std::string_view limit, const std::vector<SlotCost>& costs, int64 layers,
                             FunctionRef<int64(const RecomputePolicy&)> memory);

}  // namespace fovea
