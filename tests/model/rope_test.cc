#include "model/rope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "model/families.h"

namespace fovea {
namespace {

using testing::DoubleNear;
using testing::Each;
using testing::ElementsAre;

ModelConfig config_of(const std::string& type, double factor, int64 original = 4096) {
  ModelConfig config;
  config.head_dim = 128;
  config.context = 131072;
  config.rope_type = type;
  config.rope_factor = factor;
  config.rope_original_context = original;
  return config;
}

RopeShape shape_of(const ModelConfig& config) { return decoder_shape(config, 97).rope; }

RopeFrequencies frequencies_of(const ModelConfig& config, int64 length = 4096) {
  return rope_frequencies(shape_of(config), length);
}

/// 10000^(-i / 64)
std::vector<double> plain() { return frequencies_of(config_of("default", -1)).radians; }

/// Of each plane, by what its plain frequency is divided.
std::vector<double> divisors(const ModelConfig& config, int64 length = 4096) {
  ModelConfig base = config;
  base.rope_type = "default";
  const std::vector<double> f = frequencies_of(config, length).radians, of = frequencies_of(base).radians;
  std::vector<double> result;
  for (size_t i = 0; i < f.size(); ++i) result.push_back(of.at(i) / f[i]);
  return result;
}

TEST(Rope, PlainFrequenciesFallFromOneByPowersOfTheBase) {
  const std::vector<double> f = plain();
  ASSERT_EQ(f.size(), 64u);
  for (size_t i = 0; i < f.size(); ++i)
    EXPECT_NEAR(f[i], std::pow(10000, -static_cast<double>(2 * i) / 128), 1e-15);
}

// Peng et al. 2023: 0.1 ln s + 1.
TEST(Rope, YarnMultipliesCosineAndSineAsPublished) {
  const std::pair<double, double> published[] = {{1, 1},       {2, 1.0693},  {4, 1.1386}, {8, 1.2079},
                                                 {16, 1.2773}, {32, 1.3466}, {0.5, 1}};
  for (const auto& [factor, multiplier] : published)
    EXPECT_NEAR(frequencies_of(config_of("yarn", factor)).multiplier, multiplier, 5e-5) << factor;
  ModelConfig config = config_of("yarn", 40);
  config.rope_mscale = 1;
  config.rope_mscale_all_dim = 0.5;
  EXPECT_NEAR(shape_of(config).scaling.multiplier, (0.1 * std::log(40) + 1) / (0.05 * std::log(40) + 1),
              1e-15);
  config.rope_mscale_all_dim = 0;  // one alone has no say
  EXPECT_NEAR(shape_of(config).scaling.multiplier, 0.1 * std::log(40) + 1, 1e-15);
  config.rope_attention_factor = 1.5;
  EXPECT_EQ(shape_of(config).scaling.multiplier, 1.5);
}

TEST(Rope, YarnsRampStandsWherePublished) {
  const RopeShape rope = shape_of(config_of("yarn", 4));
  EXPECT_NEAR(rope_plane_of(rope, 32, 4096), 20.94, 0.005);
  EXPECT_NEAR(rope_plane_of(rope, 1, 4096), 45.03, 0.005);
  const std::vector<double> by = divisors(config_of("yarn", 4));
  for (size_t i = 0; i < by.size(); ++i) {
    const double kept = std::clamp(1 - (static_cast<double>(i) - 20) / 26, 0.0, 1.0);
    EXPECT_NEAR(1 / by[i], 0.25 * (1 - kept) + kept, 1e-12) << i;
  }
}

TEST(Rope, YarnsRampMayBeginAndEndBetweenPlanes) {
  ModelConfig config = config_of("yarn", 4);
  config.rope_truncate = false;
  const RopeShape rope = shape_of(config);
  const double low = rope_plane_of(rope, 32, 4096), high = rope_plane_of(rope, 1, 4096);
  const std::vector<double> by = divisors(config);
  EXPECT_DOUBLE_EQ(by[20], 1);
  EXPECT_NEAR(1 / by[21], 1 - 0.75 * (21 - low) / (high - low), 1e-12);
  EXPECT_NEAR(1 / by[45], 1 - 0.75 * (45 - low) / (high - low), 1e-12);
  EXPECT_DOUBLE_EQ(by[46], 4);
}

// The ramp below the first plane, beyond the last, and shrunk to a point: all linear, all plain, a step.
TEST(Rope, YarnAtItsExtremesIsLinearOrPlain) {
  ModelConfig config = config_of("yarn", 4);
  config.rope_beta_fast = 1000;
  config.rope_beta_slow = 640;  // at plane 0.13
  const std::vector<double> slow = divisors(config);
  EXPECT_EQ(slow.front(), 1);
  for (size_t i = 1; i < slow.size(); ++i) EXPECT_DOUBLE_EQ(slow[i], 4) << i;
  config.rope_beta_slow = 660;  // below plane 0: the ramp has no width, and 0.001 is lent to it
  const std::vector<double> step = divisors(config);
  EXPECT_EQ(step.front(), 1);
  for (size_t i = 1; i < step.size(); ++i) EXPECT_DOUBLE_EQ(step[i], 4) << i;
  config.rope_beta_fast = 0.027;  // at plane 70
  config.rope_beta_slow = 0.001;
  EXPECT_THAT(divisors(config), Each(DoubleNear(1, 1e-12)));
}

TEST(Rope, StaticNtkIsAnotherBase) {
  const std::pair<double, double> published[] = {{2, 20221}, {4, 40890}, {8, 82685}};
  for (const auto& [factor, base] : published) {
    const RopeShape rope = shape_of(config_of("ntk", factor));
    EXPECT_NEAR(rope.theta, base, 0.5);
    ModelConfig config = config_of("default", -1);
    config.rope_theta = rope.theta;
    EXPECT_EQ(rope, shape_of(config));
  }
}

// The slowest plane ends where linear interpolation has it, the fastest where it was.
TEST(Rope, StaticNtkLeavesTheFastestPlaneAndStretchesTheSlowest) {
  const std::vector<double> by = divisors(config_of("ntk", 8));
  EXPECT_DOUBLE_EQ(by.front(), 1);
  EXPECT_NEAR(by.back(), 8, 1e-9);
}

TEST(Rope, DynamicNtkGoesByTheLength) {
  const ModelConfig config = config_of("dynamic", 2);
  for (const int64 length : {1, 100, 4096}) EXPECT_EQ(frequencies_of(config, length).radians, plain());
  EXPECT_NEAR(divisors(config, 8192).back(), 3, 1e-9);  // 2 * 2 - 1
  EXPECT_NEAR(divisors(config, 4 * 4096).back(), 7, 1e-9);
  ModelConfig by_context = config;
  by_context.rope_original_context = 0;
  EXPECT_EQ(frequencies_of(by_context, by_context.context).radians, plain());
  EXPECT_NEAR(divisors(by_context, 2 * by_context.context).back(), 3, 1e-9);
}

TEST(Rope, LinearDividesEveryFrequency) {
  EXPECT_THAT(divisors(config_of("linear", 4)), Each(DoubleNear(4, 1e-12)));
}

TEST(Rope, LongropeChoosesItsFactorsByTheLength) {
  ModelConfig config = config_of("longrope", -1);
  config.head_dim = 8;
  config.rope_short_factors = {1, 1.1, 1.2, 1.3};
  config.rope_long_factors = {1, 4, 16, 32};
  const auto near = [](double x) { return DoubleNear(x, 1e-12); };
  EXPECT_THAT(divisors(config, 4096), ElementsAre(near(1), near(1.1), near(1.2), near(1.3)));
  EXPECT_THAT(divisors(config, 4097), ElementsAre(near(1), near(4), near(16), near(32)));
  // 131072 / 4096 = 32, in either
  for (const int64 length : {4096, 4097})
    EXPECT_NEAR(frequencies_of(config, length).multiplier, std::sqrt(1 + std::log(32) / std::log(4096)),
                1e-15);
  config.rope_factor = 1;
  EXPECT_EQ(frequencies_of(config).multiplier, 1);
  config.rope_attention_factor = 1.25;
  EXPECT_EQ(frequencies_of(config).multiplier, 1.25);
}

// Llama 3.1: wavelengths below 2048 stay, above 8192 become eight times as long.
TEST(Rope, Llama3KeepsShortWavesAndStretchesLongOnes) {
  ModelConfig config = config_of("llama3", 8, 8192);
  config.rope_theta = 500000;
  ModelConfig base = config;
  base.rope_type = "default";
  const std::vector<double> f = frequencies_of(base).radians, by = divisors(config);
  int between = 0;
  for (size_t i = 0; i < f.size(); ++i) {
    const double wave = 2 * M_PI / f[i];
    if (wave < 2048) {
      EXPECT_EQ(by[i], 1) << i;
    } else if (wave > 8192) {
      EXPECT_DOUBLE_EQ(by[i], 8) << i;
    } else {
      const double m = (8192 / wave - 1) / 3;
      EXPECT_NEAR(1 / by[i], (1 - m) / 8 + m, 1e-12) << i;
      ++between;
    }
  }
  EXPECT_EQ(between, 6);
  EXPECT_EQ(frequencies_of(config).multiplier, 1);
}

TEST(Rope, ProportionalTurnsTheFirstPlanesAtTheFrequenciesOfAWholeHead) {
  ModelConfig config = config_of("proportional", -1);
  config.rope_fraction = 0.25;
  const RopeShape rope = shape_of(config);
  EXPECT_EQ(rope.planes, 16);
  EXPECT_EQ(rope.dims, 128);
  const std::vector<double> f = frequencies_of(config).radians, whole = plain();
  for (size_t i = 0; i < 64; ++i) EXPECT_EQ(f[i], i < 16 ? whole[i] : 0) << i;
  config.rope_factor = 2;
  EXPECT_EQ(frequencies_of(config).radians[3], whole[3] / 2);
  // Ordinary partial rotary spreads the base over the part that turns.
  config.rope_type = "default";
  EXPECT_EQ(frequencies_of(config).radians.size(), 16u);
  EXPECT_NEAR(frequencies_of(config).radians[1], std::pow(10000, -1.0 / 16), 1e-15);
}

TEST(Rope, AFactorOfOneChangesNothing) {
  for (const char* type : {"linear", "ntk", "dynamic", "yarn", "llama3", "proportional", "longrope"}) {
    ModelConfig config = config_of(type, 1);
    config.rope_fraction = 1;
    config.rope_short_factors = config.rope_long_factors = std::vector<double>(64, 1);
    // Beyond the original context dynamic NTK stretches by the length itself.
    const RopeFrequencies f = frequencies_of(config, config.rope_type == "dynamic" ? 4096 : 100000);
    const std::vector<double> expected = plain();
    EXPECT_EQ(f.multiplier, 1) << type;
    for (size_t i = 0; i < 64; ++i) EXPECT_NEAR(f.radians[i], expected[i], 1e-15) << type;
  }
}

TEST(Rope, EqualShapesAreEqualValues) {
  ModelConfig yarn = config_of("yarn", 32);
  const DecoderShape shape = decoder_shape(yarn, 97);
  yarn.rope_factor = -1;           // 131072 / 4096
  yarn.rope_high_freq_factor = 7;  // which yarn does not read
  EXPECT_EQ(decoder_shape(yarn, 97), shape);
  yarn.rope_beta_fast = 31;
  EXPECT_NE(decoder_shape(yarn, 97), shape);
}

}  // namespace
}  // namespace fovea
