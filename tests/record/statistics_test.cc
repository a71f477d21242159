#include "record/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/random.h"

namespace fovea {
namespace {

// Abramowitz and Stegun, table 26.10, as every textbook has it.
struct Row {
  double freedom, t_900, t_950, t_975, t_990, t_995;
};
constexpr Row kTable[] = {{1, 3.078, 6.314, 12.706, 31.821, 63.657}, {2, 1.886, 2.920, 4.303, 6.965, 9.925},
                          {3, 1.638, 2.353, 3.182, 4.541, 5.841},    {4, 1.533, 2.132, 2.776, 3.747, 4.604},
                          {5, 1.476, 2.015, 2.571, 3.365, 4.032},    {9, 1.383, 1.833, 2.262, 2.821, 3.250},
                          {10, 1.372, 1.812, 2.228, 2.764, 3.169},   {20, 1.325, 1.725, 2.086, 2.528, 2.845},
                          {30, 1.310, 1.697, 2.042, 2.457, 2.750},   {60, 1.296, 1.671, 2.000, 2.390, 2.660},
                          {120, 1.289, 1.658, 1.980, 2.358, 2.617}};

TEST(StudentT, QuantilesAreThoseOfTheTables) {
  for (const Row& row : kTable) {
    EXPECT_NEAR(student_t_quantile(0.900, row.freedom), row.t_900, 0.00051) << row.freedom;
    EXPECT_NEAR(student_t_quantile(0.950, row.freedom), row.t_950, 0.00051) << row.freedom;
    EXPECT_NEAR(student_t_quantile(0.975, row.freedom), row.t_975, 0.00051) << row.freedom;
    EXPECT_NEAR(student_t_quantile(0.990, row.freedom), row.t_990, 0.00051) << row.freedom;
    EXPECT_NEAR(student_t_quantile(0.995, row.freedom), row.t_995, 0.00051) << row.freedom;
  }
  EXPECT_NEAR(student_t_quantile(0.975, 1e6), 1.959964, 1e-5) << "the normal's";
}

TEST(StudentT, AgreesWithWhatHasAClosedForm) {
  for (const double p : {0.0001, 0.01, 0.2, 0.5, 0.6, 0.9, 0.975, 0.9999}) {
    const double cauchy = std::tan(M_PI * (p - 0.5)), s = 2 * p - 1;
    EXPECT_NEAR(student_t_quantile(p, 1), cauchy, 1e-9 * std::max(1.0, std::abs(cauchy))) << p;
    const double two = s * std::sqrt(2 / (1 - s * s));
    EXPECT_NEAR(student_t_quantile(p, 2), two, 1e-9 * std::max(1.0, std::abs(two))) << p;
  }
}

TEST(StudentT, TheQuantileIsTheInverseOfTheProbability) {
  for (const double freedom : {1.0, 1.5, 2.0, 3.0, 7.0, 50.0, 1000.0, 1e6})
    for (const double p : {0.001, 0.025, 0.3, 0.5, 0.75, 0.975, 0.999})
      EXPECT_NEAR(student_t_probability(student_t_quantile(p, freedom), freedom), p, 1e-9)
          << p << " " << freedom;
}

TEST(Estimate, IsTheTextbooks) {
  const Estimate e = estimate(std::vector{1.0, 1.2, 1.4});
  EXPECT_EQ(e.n, 3);
  EXPECT_NEAR(e.mean, 1.2, 1e-12);
  EXPECT_NEAR(e.deviation, 0.2, 1e-12);
  EXPECT_NEAR(e.half_width, 4.30265273 * 0.2 / std::sqrt(3.0), 1e-8);
  const Estimate one = estimate(std::vector{3.0});
  EXPECT_EQ(one.mean, 3.0);
  EXPECT_TRUE(std::isnan(one.deviation) && std::isnan(one.half_width));
  EXPECT_TRUE(std::isnan(estimate({}).mean));
}

// Of thousands of studies of n seeds each, as many as promised have the true difference in their interval:
// two models whose losses share what the seed brings, which is much more than what tells them apart.
TEST(Estimate, AnIntervalOf95PercentHoldsTheTruthThatOften) {
  constexpr int64 kStudies = 5000;
  constexpr double kDifference = -0.02;
  for (const int64 seeds : {2, 3, 4, 5, 8, 16}) {
    const RandomSequence random{.seed = static_cast<uint64>(seeds), .use = RandomUse::synthetic};
    uint64 draw = 0;
    int64 inside = 0;
    std::vector<double> differences(static_cast<size_t>(seeds));
    for (int64 study = 0; study < kStudies; ++study) {
      for (double& difference : differences) {
        const double of_seed = 1.3 + 0.5 * random.normal(draw++);
        const double a = of_seed + kDifference + 0.01 * random.normal(draw++);
        const double b = of_seed + 0.01 * random.normal(draw++);
        difference = a - b;
      }
      const Estimate e = estimate(differences);
      inside += std::abs(e.mean - kDifference) <= e.half_width;
    }
    const double coverage = static_cast<double>(inside) / kStudies;
    EXPECT_GT(coverage, 0.935) << seeds << " seeds";
    EXPECT_LT(coverage, 0.965) << seeds << " seeds";
  }
}

TEST(ObservationsNeeded, AreTheFewestWhoseIntervalIsNarrowEnough) {
  for (const double deviation : {0.001, 0.02, 1.0, 30.0})
    for (const double distance : {0.1, -0.1, 3.0}) {
      const auto needed = observations_needed(distance, deviation);
      ASSERT_TRUE(needed);
      const auto half_width = [&](int64 n) {
        return student_t_quantile(0.975, static_cast<double>(n - 1)) * deviation /
               std::sqrt(static_cast<double>(n));
      };
      EXPECT_LT(half_width(*needed), std::abs(distance));
      if (*needed > 2) {
        EXPECT_GE(half_width(*needed - 1), std::abs(distance)) << *needed;
      }
    }
  EXPECT_EQ(observations_needed(0.1, 0.001), 2);
  EXPECT_EQ(observations_needed(1.0, 1.0), 7) << "2.447 / sqrt(7) = 0.925, 2.571 / sqrt(6) = 1.05";
}

TEST(ObservationsNeeded, AreNoneWhereNothingWouldTell) {
  EXPECT_EQ(observations_needed(0, 0.1), std::nullopt);
  EXPECT_EQ(observations_needed(0, 0), std::nullopt);
  EXPECT_EQ(observations_needed(1e-9, 1), std::nullopt);
  EXPECT_EQ(observations_needed(NAN, 1), std::nullopt);
  EXPECT_EQ(observations_needed(1, NAN), std::nullopt);
}

}  // namespace
}  // namespace fovea
