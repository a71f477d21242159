#include "train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace fovea {
namespace {

TrainConfig scheduled(const std::string& schedule) {
  TrainConfig config;
  config.schedule = schedule;
  config.lr = 2e-3;
  config.warmup = 0.1;
  config.min_lr_fraction = 0.1;
  config.decay = 0.2;
  return config;
}

TEST(LearningRate, WarmsUpLinearlyFromTheFirstStep) {
  for (const char* schedule : {"constant", "wsd"})
    for (int64 step = 0; step < 10; ++step)
      EXPECT_DOUBLE_EQ(learning_rate(scheduled(schedule), step, 100),
                       2e-3 * static_cast<double>(step + 1) / 10)
          << schedule;
}

TEST(LearningRate, WithoutWarmUpBeginsAtThePeak) {
  for (const char* schedule : {"constant", "linear", "cosine", "wsd"}) {
    TrainConfig config = scheduled(schedule);
    config.warmup = 0;
    EXPECT_DOUBLE_EQ(learning_rate(config, 0, 100), 2e-3) << schedule;
  }
}

TEST(LearningRate, ConstantStaysAtThePeak) {
  for (int64 step = 9; step < 100; ++step)
    EXPECT_DOUBLE_EQ(learning_rate(scheduled("constant"), step, 100), 2e-3);
}

TEST(LearningRate, LinearFallsToZero) {
  EXPECT_DOUBLE_EQ(learning_rate(scheduled("linear"), 50, 100), 1e-3);
  EXPECT_NEAR(learning_rate(scheduled("linear"), 99, 100), 2e-3 / 100, 1e-18);
  EXPECT_DOUBLE_EQ(learning_rate(scheduled("linear"), 100, 100), 0);
}

TEST(LearningRate, CosineFallsToItsFractionOverHalfAPeriod) {
  EXPECT_DOUBLE_EQ(learning_rate(scheduled("cosine"), 50, 100), 2e-3 * (0.1 + 0.9 / 2));
  EXPECT_DOUBLE_EQ(learning_rate(scheduled("cosine"), 100, 100), 2e-4);
  TrainConfig to_zero = scheduled("cosine");
  to_zero.min_lr_fraction = 0;
  EXPECT_NEAR(learning_rate(to_zero, 100, 100), 0, 1e-18);
}

// The rate of the same recipe in PyTorch: lr * cosine * min(1, (step + 1) / warmup), both of the step from 0.
TEST(LearningRate, CosineIsThatOfTheUsualRecipe) {
  TrainConfig config = scheduled("cosine");
  config.warmup = 0.025;
  for (int64 step = 0; step < 2000; ++step) {
    const auto t = static_cast<double>(step);
    const double cosine = 0.1 + 0.9 * 0.5 * (1 + std::cos(std::numbers::pi * t / 2000));
    EXPECT_DOUBLE_EQ(learning_rate(config, step, 2000), 2e-3 * cosine * std::min(1.0, (t + 1) / 50)) << step;
  }
}

TEST(LearningRate, WsdIsFlatAndThenDecaysLinearly) {
  const TrainConfig config = scheduled("wsd");
  EXPECT_DOUBLE_EQ(learning_rate(config, 10, 100), 2e-3);
  EXPECT_DOUBLE_EQ(learning_rate(config, 80, 100), 2e-3);
  EXPECT_DOUBLE_EQ(learning_rate(config, 81, 100), 2e-3 * 19 / 20);
  EXPECT_DOUBLE_EQ(learning_rate(config, 90, 100), 1e-3);
  EXPECT_DOUBLE_EQ(learning_rate(config, 100, 100), 0);
}

TEST(LearningRate, IsPositiveInARunOfOneStep) {
  for (const char* schedule : {"constant", "linear", "cosine", "wsd"})
    EXPECT_DOUBLE_EQ(learning_rate(scheduled(schedule), 0, 1), 2e-3) << schedule;
}

int64 steps_of(int64 tokens, int64 batch, int64 sequence, int64 context) {
  Config config;
  config.train.tokens = tokens;
  config.train.batch = batch;
  config.train.sequence = sequence;
  config.model.context = context;
  return total_steps(config);
}

TEST(TotalSteps, RoundsToTheNearestAndIsAtLeastOne) {
  EXPECT_EQ(steps_of(0, 4, 0, 16), 0);
  EXPECT_EQ(steps_of(1, 4, 0, 16), 1);
  EXPECT_EQ(steps_of(640, 4, 0, 16), 10);
  EXPECT_EQ(steps_of(671, 4, 0, 16), 10);
  EXPECT_EQ(steps_of(672, 4, 0, 16), 11);
  EXPECT_EQ(steps_of(640, 4, 8, 16), 20);  // train.sequence before model.context
  EXPECT_EQ(steps_of(100, 1, 0, 33), 3);   // an odd step: 3.03
  EXPECT_EQ(steps_of(116, 1, 0, 33), 4);   // 3.515
}

}  // namespace
}  // namespace fovea
