#include "core/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <vector>

namespace fovea {
namespace {

struct KnownAnswer {
  std::array<uint32, 4> counter;
  std::array<uint32, 2> key;
  std::array<uint32, 4> answer;
};

// The three lines "philox4x32 10" of Random123's kat_vectors (D. E. Shaw Research), the authors' own.
constexpr KnownAnswer kPublished[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

uint64 joined(uint32 low, uint32 high) { return (uint64{high} << 32) | low; }

TEST(Random, PhiloxGivesThePublishedAnswers) {
  for (const KnownAnswer& known : kPublished)
    EXPECT_EQ(philox(joined(known.key[0], known.key[1]), joined(known.counter[2], known.counter[3]),
                     joined(known.counter[0], known.counter[1])),
              known.answer);
}

TEST(Random, EveryCoordinateMatters) {
  std::set<std::array<uint32, 4>> seen;
  for (uint64 seed : {uint64{0}, uint64{1}, uint64{1} << 32})
    for (RandomUse use : {RandomUse::initialisation, RandomUse::data_order, RandomUse::dropout,
                          RandomUse::conversion, RandomUse::synthetic})
      for (uint32 stream : {0u, 1u, 0xffffffffu})
        for (uint64 n : {uint64{0}, uint64{1}, uint64{1} << 32, ~uint64{0}})
          seen.insert(RandomSequence{seed, use, stream}.bits(n));
  EXPECT_EQ(seen.size(), 3u * 5 * 3 * 4);
}

TEST(Random, UniformFillsTheUnitInterval) {
  const RandomSequence random{7, RandomUse::synthetic, 3};
  std::array<int, 16> counts{};
  constexpr int kDraws = 1 << 16;
  for (uint64 n = 0; n < kDraws; ++n) {
    const float x = random.uniform(n);
    ASSERT_GE(x, 0.0f);
    ASSERT_LT(x, 1.0f);
    ++counts[static_cast<size_t>(x * 16)];
  }
  // Chi-square with 15 degrees of freedom: above 44.3 one time in 10,000.
  double chi_square = 0;
  for (int count : counts) chi_square += std::pow(count - kDraws / 16.0, 2) / (kDraws / 16.0);
  EXPECT_LT(chi_square, 44.3);
}

TEST(Random, BelowStaysBelowAndReachesEveryValue) {
  const RandomSequence random{1, RandomUse::data_order, 0};
  for (uint64 bound : {uint64{1}, uint64{2}, uint64{7}, uint64{100}}) {
    std::set<uint64> seen;
    for (uint64 n = 0; n < 2000; ++n) seen.insert(random.below(bound, n));
    EXPECT_EQ(seen.size(), bound);
    EXPECT_EQ(*seen.rbegin(), bound - 1);
  }
  // A bound above 32 bits uses the high bits too.
  constexpr uint64 kHuge = uint64{1} << 63;
  uint64 largest = 0;
  for (uint64 n = 0; n < 100; ++n) {
    ASSERT_LT(random.below(kHuge, n), kHuge);
    largest = std::max(largest, random.below(kHuge, n));
  }
  EXPECT_GT(largest, kHuge / 2);
}

TEST(Random, NormalHasTheMomentsOfANormal) {
  const RandomSequence random{42, RandomUse::initialisation, 1};
  constexpr int kDraws = 1 << 17;
  std::array<double, 5> moment{};
  for (uint64 n = 0; n < kDraws; ++n) {
    const double x = random.normal(n);
    ASSERT_TRUE(std::isfinite(x));
    for (size_t k = 1; k < moment.size(); ++k) moment[k] += std::pow(x, static_cast<int>(k)) / kDraws;
  }
  // Five standard errors of each moment: Var(x^k) = E[x^2k] - E[x^k]^2 is 1, 2, 15, 96.
  const double error = 5 / std::sqrt(kDraws);
  EXPECT_NEAR(moment[1], 0, error);
  EXPECT_NEAR(moment[2], 1, error * std::sqrt(2.0));
  EXPECT_NEAR(moment[3], 0, error * std::sqrt(15.0));
  EXPECT_NEAR(moment[4], 3, error * std::sqrt(96.0));
}

}  // namespace
}  // namespace fovea
