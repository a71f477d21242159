#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "core/file.h"
#include "helpers.h"
#include "model/families.h"
#include "record/journal.h"
#include "record/run_file.h"
#include "train/checkpoint.h"
#include "train/spike_guard.h"

namespace fovea {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

TrainConfig guarded(const char* how, double sigma = 4) {
  TrainConfig config;
  config.spike_guard = how;
  config.spike_sigma = sigma;
  return config;
}

TEST(SpikeGuard, IsTheMeanAndSoManyDeviationsOfTheRecentLosses) {
  SpikeGuard guard(guarded("skip"));
  std::vector<double> losses;
  for (int64 i = 0; i < 100; ++i) {
    EXPECT_EQ(std::isinf(guard.limit()), i < SpikeGuard::kWarmIn) << i;
    losses.push_back(3 + 0.5 * std::sin(static_cast<double>(i)));
    guard.remember(losses.back(), false);
  }
  double mean = 0, squares = 0;
  for (size_t i = 36; i < 100; ++i) mean += losses[i] / 64;
  for (size_t i = 36; i < 100; ++i) squares += std::pow(losses[i] - mean, 2);
  EXPECT_NEAR(guard.limit(), mean + 4 * std::sqrt(squares / 63), 1e-12);
  const double before = guard.limit();
  guard.remember(50, true);  // what was skipped is no measure
  EXPECT_EQ(guard.limit(), before);
  EXPECT_EQ(guard.skipped_in_a_row(), 1);
  guard.remember(3, false);
  EXPECT_EQ(guard.skipped_in_a_row(), 0);
  EXPECT_NE(guard.limit(), before);
}

TEST(SpikeGuard, OfASmoothCurveLeavesItsNoise) {
  SpikeGuard guard(guarded("stop"));
  for (int i = 0; i < 64; ++i) guard.remember(2, false);
  EXPECT_NEAR(guard.limit(), 2 + 4 * 2e-3, 1e-12);
}

TEST(SpikeGuard, OffJudgesNothing) {
  SpikeGuard guard(guarded("off"));
  for (int i = 0; i < 100; ++i) guard.remember(2, false);
  EXPECT_TRUE(std::isinf(guard.limit()));
}

class Guarded : public testing::Test {
 protected:
  Guarded() {
    run.config.train.tokens = 60 * 4 * 16;
    run.config.train.lr = 1e-3;
  }
  void spoil(Trainer& trainer, double factor) {
    const ParameterLayout& layout = trainer.decoder().layout();
    const View norm = layout.view(trainer.state().weights(), layout.find("final_norm.weight"));
    for (int64 i = 0; i < norm.elements(); ++i) store(norm, {i}, load(norm, {i}) * factor);
  }
  // 40 good steps.
  void warm(Trainer& trainer) {
    trainer.initialise_weights();
    for (int i = 0; i < 40; ++i) EXPECT_FALSE(trainer.step().skipped);
  }
  SmallRun run;
};

TEST_F(Guarded, ASpikeIsSkippedAndTheStepCounted) {
  run.config.train.spike_guard = "skip";
  run.config.train.ema = 0.9;
  const Dataset dataset = run.dataset();
  Trainer trainer(run.config, dataset, Backend::cpu, 1);
  warm(trainer);
  spoil(trainer, -300);
  const std::string weights = bits(trainer.state().weights()), moment1 = bits(trainer.state().moment1()),
                    moment2 = bits(trainer.state().moment2()), average = bits(trainer.state().average());
  for (int64 i = 0; i < SpikeGuard::kMostSkipped; ++i) {
    const StepResult step = trainer.step();
    EXPECT_TRUE(step.skipped);
    EXPECT_EQ(step.step, 41 + i);
    EXPECT_GT(step.loss, 6);
  }
  EXPECT_EQ(bits(trainer.state().weights()), weights);
  EXPECT_EQ(bits(trainer.state().moment1()), moment1);
  EXPECT_EQ(bits(trainer.state().moment2()), moment2);
  EXPECT_EQ(bits(trainer.state().average()), average);
  EXPECT_THAT(error_of([&] { trainer.step(); }, ExitCode::failed),
              testing::AllOf(testing::StartsWith("step 57: "), HasSubstr("16 updates in a row")));
  spoil(trainer, -1.0 / 300);
  EXPECT_FALSE(trainer.step().skipped);
}

TEST_F(Guarded, ASpikeStopsTheRunWithOneLine) {
  run.config.train.spike_guard = "stop";
  const Dataset dataset = run.dataset();
  Trainer trainer(run.config, dataset, Backend::cpu, 1);
  warm(trainer);
  spoil(trainer, -300);
  const std::string weights = bits(trainer.state().weights());
  EXPECT_THAT(error_of([&] { trainer.step(); }, ExitCode::failed),
              testing::AllOf(testing::StartsWith("step 41: the loss is "), HasSubstr("train.spike_guard"),
                             HasSubstr("the weights are those of step 40")));
  EXPECT_EQ(bits(trainer.state().weights()), weights);
  EXPECT_EQ(trainer.steps_done(), 40);
}

TEST_F(Guarded, WithoutASpikeNoBitChanges) {
  const Dataset dataset = run.dataset();
  const Trajectory off = train(run.config, dataset, 40);
  run.config.train.spike_guard = "skip";
  EXPECT_TRUE(train(run.config, dataset, 40) == off);
}

// The limit of a run that was resumed is that of the one that was not: recalled from the journal.
TEST_F(Guarded, ARunThatSkipsIsRecordedAndResumesToTheSameBits) {
  run.config.train.spike_guard = "skip";
  run.config.train.spike_sigma = 0.5;  // much of the noise is a spike
  run.config.train.lr = 1e-5;          // and all there is
  run.config.train.checkpoint_every = 7;
  run.config.train.ema = 0.95;
  const Dataset dataset = run.dataset();
  int64 shown = 0;
  ASSERT_EQ(execute_run(job_of(run.config, run.folder / "calm"), dataset, 1,
                        [&](const RunProgress& now) { shown = now.skipped; }),
            RunState::done);
  const RunRecord calm = read_run_file(run.folder / "calm" / kRunFileName);
  ASSERT_FALSE(calm.series.skipped.empty());
  EXPECT_EQ(shown, static_cast<int64>(calm.series.skipped.size()));
  EXPECT_EQ(read_journal(run.folder / "calm" / kJournalFileName).series.skipped, calm.series.skipped);
  // From each checkpoint that is left of it, as after a kill.
  for (const fs::path& checkpoint : checkpoints_in(run.folder / "calm" / "checkpoints")) {
    const fs::path again = run.folder / "again";
    fs::remove_all(again);
    fs::create_directories(again / "checkpoints");
    fs::copy(checkpoint, again / "checkpoints");
    fs::copy(run.folder / "calm" / kJournalFileName, again / kJournalFileName);
    ASSERT_EQ(execute_run(job_of(run.config, again), dataset, 3, [](const RunProgress&) {}), RunState::done);
    const RunRecord record = read_run_file(again / kRunFileName);
    EXPECT_EQ(record.series.skipped, calm.series.skipped);
    EXPECT_EQ(record.series.train_loss, calm.series.train_loss);
    EXPECT_EQ(read_file(again / kModelFileName), read_file(run.folder / "calm" / kModelFileName));
  }
}

class Averages : public testing::Test {
 protected:
  Averages() { run.config.train.ema = 0.8; }
  SmallRun run;
};

TEST_F(Averages, AreThoseOfAPlainLoop) {
  for (const Backend backend : {Backend::cpu, Backend::reference})
    for (const char* precision : {"f32", "bf16"}) {
      run.config.train.precision = precision;
      const Dataset dataset = run.dataset();
      Trainer trainer(run.config, dataset, backend, 2);
      trainer.initialise_weights();
      EXPECT_EQ(bits(trainer.state().average()), bits(trainer.state().weights()));
      const int64 n = trainer.decoder().layout().elements();
      std::vector<double> average(static_cast<size_t>(n));
      for (int64 i = 0; i < n; ++i) average[static_cast<size_t>(i)] = load(trainer.state().weights(), {i});
      for (int step = 0; step < 5; ++step) {
        trainer.step();
        for (int64 i = 0; i < n; ++i) {
          double& a = average[static_cast<size_t>(i)];
          a = 0.8 * a + 0.2 * load(trainer.state().weights(), {i});
        }
      }
      for (int64 i = 0; i < n; ++i)
        ASSERT_NEAR(load(trainer.state().average(), {i}), average[static_cast<size_t>(i)],
                    1e-6 * (1e-2 + std::abs(average[static_cast<size_t>(i)])))
            << i;
    }
}

TEST_F(Averages, LeaveTheTrajectoryAndAreTheSameAtAnyNumberOfThreads) {
  const Dataset dataset = run.dataset();
  const Trajectory averaged = train(run.config, dataset, 4);
  std::string one;
  for (const int threads : {1, 2, 3}) {
    Trainer trainer(run.config, dataset, Backend::cpu, threads);
    trainer.initialise_weights();
    for (int i = 0; i < 4; ++i) trainer.step();
    if (threads == 1) one = bits(trainer.state().average());
    EXPECT_EQ(bits(trainer.state().average()), one);
  }
  EXPECT_NE(one, averaged.weights);
  run.config.train.ema = 0;
  EXPECT_TRUE(train(run.config, dataset, 4) == averaged);
}

// In bf16 an evaluation rounds the average into the copy that training reads, and back.
TEST_F(Averages, AreWhatIsEvaluatedAndTrainingGoesOnAsIfNot) {
  for (const char* precision : {"f32", "bf16"}) {
    run.config.train.precision = precision;
    const Dataset dataset = run.dataset();
    Trainer calm(run.config, dataset, Backend::cpu, 1), trainer(run.config, dataset, Backend::cpu, 1);
    calm.initialise_weights();
    trainer.initialise_weights();
    for (int i = 0; i < 3; ++i) {
      calm.step();
      trainer.step();
    }
    Config plain = run.config;
    plain.train.ema = 0;
    Trainer other(plain, dataset, Backend::cpu, 1);
    std::memcpy(other.state().weights().data(), trainer.state().average().data(),
                static_cast<size_t>(trainer.state().average().bytes()));
    other.resume_at(3);
    int windows = 0;
    EXPECT_EQ(trainer.evaluate_unless([&] { return windows++ == 1; }), std::nullopt);
    EXPECT_EQ(trainer.evaluate().loss, other.evaluate().loss);
    EXPECT_EQ(bits(trainer.state().compute_weights()), bits(calm.state().compute_weights()));
    EXPECT_EQ(trainer.step().loss, calm.step().loss);
  }
}

TEST_F(Averages, AreInCheckpointsAndAreTheModelThatIsLeft) {
  run.config.train.checkpoint_every = 4;
  const Dataset dataset = run.dataset();
  ASSERT_EQ(execute_run(job_of(run.config, run.folder / "calm"), dataset, 1, [](const RunProgress&) {}),
            RunState::done);
  Trainer trainer(run.config, dataset, Backend::cpu, 1);
  trainer.initialise_weights();
  for (int i = 0; i < 10; ++i) trainer.step();
  const ParameterLayout& layout = trainer.decoder().layout();
  const auto expect_average = [&](const fs::path& path) {
    const std::vector<float> read = read_all(weights_in(path, layout), layout);
    for (const Parameter& parameter : layout.parameters())
      for (int64 i = parameter.offset; i < parameter.offset + parameter.elements(); ++i)
        ASSERT_EQ(read[static_cast<size_t>(i)], load(trainer.state().average(), {i})) << parameter.name;
  };
  expect_average(run.folder / "calm" / kModelFileName);
  write_checkpoint(run.folder / "last", layout, trainer.state(), {10, "id", "", 256});
  expect_average(run.folder / "last");

  const fs::path again = run.folder / "again";
  fs::create_directories(again / "checkpoints");
  fs::copy(checkpoint_path(run.folder / "calm" / "checkpoints", 4), again / "checkpoints");
  fs::copy(run.folder / "calm" / kJournalFileName, again / kJournalFileName);
  ASSERT_EQ(execute_run(job_of(run.config, again), dataset, 2, [](const RunProgress&) {}), RunState::done);
  EXPECT_EQ(read_file(again / kModelFileName), read_file(run.folder / "calm" / kModelFileName));
}

TEST_F(Averages, AreCountedInThePrediction) {
  const Decoder decoder(decoder_shape(run.config.model, 256), 16);
  const int64 with = plan_training(decoder, run.config, Backend::cpu, 1).state_bytes;
  run.config.train.ema = 0;
  EXPECT_EQ(with - plan_training(decoder, run.config, Backend::cpu, 1).state_bytes,
            decoder.layout().elements() * 4);
}

struct PlantedState {
  const char* name;
  const View& (OptimizerState::*part)() const;
  const char* words;
};
void PrintTo(const PlantedState& planted, std::ostream* out) { *out << planted.name; }
class NonFiniteState : public testing::TestWithParam<PlantedState> {};

// What no forward reads: the step stops before any weight is spoilt, and names whose number it is.
TEST_P(NonFiniteState, IsNamedBeforeAWeightChanges) {
  for (const Backend backend : {Backend::cpu, Backend::naive, Backend::reference})
    for (const double value :
         {std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::infinity()})
      for (const char* parameter : {"embed.weight", "blocks.1.attention.k.weight", "final_norm.weight"}) {
        SmallRun run;
        run.config.train.precision = "bf16";  // masters are not what the forward reads of matrices
        run.config.train.ema = 0.5;
        const Dataset dataset = run.dataset();
        Trainer trainer(run.config, dataset, backend, 2);
        trainer.initialise_weights();
        trainer.step();
        const ParameterLayout& layout = trainer.decoder().layout();
        const Parameter& p = layout[layout.find(parameter)];
        // a vector's masters are read by the forward, which is another test's
        if (p.vector && std::string_view(GetParam().name) == "weights") continue;
        store((trainer.state().*GetParam().part)(), {p.offset + 3}, value);
        const std::string weights = bits(trainer.state().weights()),
                          moment1 = bits(trainer.state().moment1()),
                          moment2 = bits(trainer.state().moment2()),
                          average = bits(trainer.state().average());
        EXPECT_THAT(error_of([&] { trainer.step(); }, ExitCode::failed),
                    testing::StartsWith(fmt::format("step 2: {} {} holds", GetParam().words, parameter)))
            << name_of(backend);
        EXPECT_EQ(bits(trainer.state().weights()), weights);
        EXPECT_EQ(bits(trainer.state().moment1()), moment1);
        EXPECT_EQ(bits(trainer.state().moment2()), moment2);
        EXPECT_EQ(bits(trainer.state().average()), average);
        EXPECT_EQ(trainer.steps_done(), 1);
      }
}

// Finite numbers whose update is not: no loss ever tells of a token that no text has.
TEST(NonFiniteUpdate, IsNamedInTheNextStep) {
  SmallRun run;
  const Dataset dataset = run.dataset();
  Trainer trainer(run.config, dataset, Backend::cpu, 2);
  trainer.initialise_weights();
  trainer.step();
  const Parameter& p = trainer.decoder().layout()[trainer.decoder().layout().find("embed.weight")];
  store(trainer.state().moment1(), {p.offset + 7}, 3e38);
  EXPECT_TRUE(std::isfinite(trainer.step().loss));
  EXPECT_THAT(error_of([&] { trainer.step(); }, ExitCode::failed),
              testing::StartsWith("step 3: the weights of embed.weight holds"));
}

INSTANTIATE_TEST_SUITE_P(
    Trainer, NonFiniteState,
    testing::Values(PlantedState{"weights", &OptimizerState::weights, "the weights of"},
                    PlantedState{"moment1", &OptimizerState::moment1, "the first moment of"},
                    PlantedState{"moment2", &OptimizerState::moment2, "the second moment of"},
                    PlantedState{"average", &OptimizerState::average, "the average of"}),
    [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace fovea
