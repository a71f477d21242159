#include "convert/head_grouping.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <numeric>

#include "core/random.h"

namespace fovea {
namespace {

using Eigen::MatrixXd;

MatrixXd random_points(int64 count, uint64 seed) {
  MatrixXd points(count, 3);
  for (int64 i = 0; i < count; ++i)
    for (int64 j = 0; j < 3; ++j)
      points(i, j) = RandomSequence{seed, RandomUse::synthetic, 2}.normal(static_cast<uint64>(3 * i + j));
  return points;
}

MatrixXd squared_distances(const MatrixXd& points) {
  MatrixXd distances(points.rows(), points.rows());
  for (int64 a = 0; a < points.rows(); ++a)
    for (int64 b = 0; b < points.rows(); ++b) distances(a, b) = (points.row(a) - points.row(b)).squaredNorm();
  return distances;
}

RC_GTEST_PROP(HeadGrouping, IsAPartitionNoWorseThanAdjacentGroups, ()) {
  const int64 size = *rc::gen::element<int64>(1, 2, 3, 4), heads = size * *rc::gen::inRange<int64>(1, 5);
  const MatrixXd points = random_points(heads, *rc::gen::inRange<uint64>(0, 100000)),
                 distances = squared_distances(points);
  const HeadGroups groups = similar_groups(distances, size), adjacent = adjacent_groups(heads, size);
  std::vector<int64> all;
  for (const std::vector<int64>& group : groups) {
    RC_ASSERT(static_cast<int64>(group.size()) == size);
    RC_ASSERT(std::ranges::is_sorted(group));
    all.insert(all.end(), group.begin(), group.end());
  }
  RC_ASSERT(std::ranges::is_sorted(groups));
  std::ranges::sort(all);
  std::vector<int64> each(static_cast<size_t>(heads));
  std::iota(each.begin(), each.end(), 0);
  RC_ASSERT(all == each);
  RC_ASSERT(grouping_cost(groups, distances) <= grouping_cost(adjacent, distances) + 1e-9);
  RC_ASSERT(similar_groups(distances, size) == groups);
  // The cost is the summed squared distance from each group's mean.
  double from_means = 0;
  for (const std::vector<int64>& group : groups) {
    const MatrixXd members = points(group, Eigen::all);
    from_means += (members.rowwise() - members.colwise().mean()).squaredNorm();
  }
  RC_ASSERT(std::abs(grouping_cost(groups, distances) - from_means) <= 1e-9);
}

RC_GTEST_PROP(HeadGrouping, FindsHeadsThatBelongTogether, ()) {
  const int64 size = *rc::gen::element<int64>(2, 4), count = 4;
  const auto seed = *rc::gen::inRange<uint64>(0, 100000);
  MatrixXd points = 0.01 * random_points(size * count, seed);
  for (int64 head = 0; head < size * count; ++head) points(head, 0) += static_cast<double>(head % count);
  HeadGroups expected(static_cast<size_t>(count));
  for (int64 head = 0; head < size * count; ++head)
    expected[static_cast<size_t>(head % count)].push_back(head);
  RC_ASSERT(similar_groups(squared_distances(points), size) == expected);
}

TEST(HeadGrouping, HeadsAllAlikeStayWhereTheyAre) {
  EXPECT_EQ(similar_groups(MatrixXd::Zero(8, 8), 2), adjacent_groups(8, 2));
  EXPECT_EQ(similar_groups(MatrixXd::Ones(6, 6) - MatrixXd::Identity(6, 6), 3), adjacent_groups(6, 3));
}

}  // namespace
}  // namespace fovea
