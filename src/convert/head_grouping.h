#pragma once

#include <Eigen/Dense>
#include <vector>

#include "core/types.h"

namespace fovea {

/// Heads (by number) in groups of one size: members ascending, groups by their first member.
using HeadGroups = std::vector<std::vector<int64>>;

HeadGroups adjacent_groups(int64 heads, int64 size);

/// The sum over groups of the distances (G, G) between their members, over their size: of squared distances,
/// the summed squared distance from each group's mean.
double grouping_cost(const HeadGroups& groups, const Eigen::MatrixXd& distances);

/// Groups whose cost is low: adjacent ones and ones that grow from the lowest free head to the nearest each
/// go through exchanges of two heads until none helps, and the better result is kept, adjacent ones on a
/// draw. Never above the cost of adjacent groups; not always the least there is. A function of its arguments.
HeadGroups similar_groups(const Eigen::MatrixXd& distances, int64 size);

}  // namespace fovea
