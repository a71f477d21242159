// Normal numbers drawn on vectors are those of RandomSequence::normal, to the bit.

#include "kernels/random/normal.h"

#include <gtest/gtest.h>

#include <bit>
#include <vector>

#include "instruction_sets.h"

namespace fovea {
namespace {

void expect_same_bits(const RandomSequence& random, double deviation, uint64 first, int64 n) {
  std::vector<float> drawn(static_cast<size_t>(n) + 1, 7.0f);
  draw_normal(random, deviation, first, n, drawn.data());
  int64 different = 0;
  for (int64 i = 0; i < n; ++i) {
    const auto wanted = static_cast<float>(deviation * random.normal(first + static_cast<uint64>(i)));
    different += std::bit_cast<uint32>(wanted) != std::bit_cast<uint32>(drawn[static_cast<size_t>(i)]);
  }
  EXPECT_EQ(different, 0) << "of " << n << " from " << first;
  EXPECT_EQ(drawn.back(), 7.0f);
}

constexpr RandomSequence kWeights{.seed = 3, .use = RandomUse::initialisation, .stream = 5};

TEST(DrawNormal, HasTheBitsOfTheScalarExpression) {
  harness::for_each_instruction_set([] { expect_same_bits(kWeights, 0.02, 0, int64{1} << 20); });
}

// Two of 2^30: the vectors' logarithm and cosine alone would round to the neighbour.
TEST(DrawNormal, AsksTheScalarExpressionBetweenTwoFloats) {
  harness::for_each_instruction_set([] {
    for (const uint64 n : {71038922, 113640759}) expect_same_bits(kWeights, 0.02, n - 5, 16);
  });
}

TEST(DrawNormal, AtAnyLengthFromAnywhere) {
  harness::for_each_instruction_set([] {
    const RandomSequence random{.seed = ~uint64{0}, .use = RandomUse::synthetic, .stream = 0xffffffff};
    for (int64 n = 0; n < 70; ++n) expect_same_bits(random, 1, 1000 + 3 * static_cast<uint64>(n), n);
    expect_same_bits(random, 1.5, 0xffffffff - 20, 64);  // the counter's words carry
    expect_same_bits(random, 1.5, ~uint64{0} - 20, 21);
  });
}

}  // namespace
}  // namespace fovea
