#include "convert/head_grouping.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace fovea {
namespace {

using Eigen::MatrixXd;

double distance_to(const std::vector<int64>& group, int64 head, const MatrixXd& distances) {
  double sum = 0;
  for (const int64 member : group) sum += distances(head, member);
  return sum;
}

HeadGroups grown_groups(const MatrixXd& distances, int64 size) {
  const int64 heads = distances.rows();
  std::vector<bool> taken(static_cast<size_t>(heads), false);
  HeadGroups groups;
  for (int64 first = 0; first < heads; ++first) {
    if (taken[static_cast<size_t>(first)]) continue;
    std::vector<int64> group = {first};
    taken[static_cast<size_t>(first)] = true;
    while (static_cast<int64>(group.size()) < size) {
      int64 nearest = -1;
      double least = std::numeric_limits<double>::infinity();
      for (int64 head = 0; head < heads; ++head) {
        if (taken[static_cast<size_t>(head)]) continue;
        const double distance = distance_to(group, head, distances);
        if (nearest < 0 || distance < least) nearest = head, least = distance;
      }
      group.push_back(nearest);
      taken[static_cast<size_t>(nearest)] = true;
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

// Exchanges a member of one group with one of the other wherever that helps; whether any did.
bool exchange(std::vector<int64>& one, std::vector<int64>& other, const MatrixXd& distances, double least) {
  bool changed = false;
  for (int64& a : one)
    for (int64& b : other) {
      const double before = distance_to(one, a, distances) + distance_to(other, b, distances);
      const double after = distance_to(one, b, distances) - distances(a, b) +
                           distance_to(other, a, distances) - distances(a, b);
      if (before - after <= least) continue;
      std::swap(a, b);
      changed = true;
    }
  return changed;
}

void improve(HeadGroups& groups, const MatrixXd& distances) {
  // An exchange gains more than rounding may have made up, so that this ends.
  const double least = 1e-12 * distances.cwiseAbs().sum();
  bool changed = true;
  while (changed) {
    changed = false;
    for (size_t i = 0; i < groups.size(); ++i)
      for (size_t j = i + 1; j < groups.size(); ++j)
        changed |= exchange(groups[i], groups[j], distances, least);
  }
  for (std::vector<int64>& group : groups) std::ranges::sort(group);
  std::ranges::sort(groups);
}

}  // namespace

HeadGroups adjacent_groups(int64 heads, int64 size) {
  HeadGroups groups(static_cast<size_t>(heads / size));
  for (int64 head = 0; head < heads; ++head) groups[static_cast<size_t>(head / size)].push_back(head);
  return groups;
}

double grouping_cost(const HeadGroups& groups, const MatrixXd& distances) {
  double sum = 0;
  for (const std::vector<int64>& group : groups)
    for (size_t a = 0; a < group.size(); ++a)
      for (size_t b = 0; b < a; ++b) sum += distances(group[a], group[b]) / static_cast<double>(group.size());
  return sum;
}

HeadGroups similar_groups(const MatrixXd& distances, int64 size) {
  HeadGroups adjacent = adjacent_groups(distances.rows(), size), grown = grown_groups(distances, size);
  improve(adjacent, distances);
  improve(grown, distances);
  return grouping_cost(grown, distances) < grouping_cost(adjacent, distances) ? grown : adjacent;
}

}  // namespace fovea
