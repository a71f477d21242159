#include "train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "direct.h"
#include "helpers.h"

namespace fovea {
namespace {

double mean(const std::vector<double>& values, size_t begin, size_t end) {
  return std::accumulate(values.begin() + static_cast<std::ptrdiff_t>(begin),
                         values.begin() + static_cast<std::ptrdiff_t>(end), 0.0) /
         static_cast<double>(end - begin);
}

TEST(Trainer, LearnsWhatCanBeLearned) {
  SmallRun run;
  run.config.train.batch = 16;
  run.config.train.grain = 8;
  run.config.train.tokens = 150 * 16 * 16;
  run.config.train.lr = 1e-2;
  const Dataset dataset = run.dataset();
  Trainer trainer(run.config, dataset, Backend::cpu, 2);
  trainer.initialise_weights();
  const double before = trainer.evaluate().loss;
  EXPECT_NEAR(before, std::log(256), 0.1);  // knows nothing
  std::vector<double> losses;
  while (trainer.steps_done() < trainer.total_steps()) losses.push_back(trainer.step().loss);
  EXPECT_EQ(losses.size(), 150u);
  EXPECT_LT(mean(losses, 140, 150), 1.3);  // letters of words are certain, words are not
  EXPECT_LT(trainer.evaluate().loss, 1.3);
}

TEST(Trainer, SeedsDiffer) {
  SmallRun run;
  const Dataset dataset = run.dataset();
  const Trajectory first = train(run.config, dataset, 2);
  run.config.train.seed = 1;
  EXPECT_NE(train(run.config, dataset, 2).losses, first.losses);
}

struct Variant {
  const char* name;
  void (*set)(Config&);
  Backend backend = Backend::cpu;
};
void PrintTo(const Variant& variant, std::ostream* out) { *out << variant.name; }

class EveryVariant : public testing::TestWithParam<Variant> {};

// Odd batches, documents, dropout, precisions: the same bits at any number of threads, and again.
TEST_P(EveryVariant, SameBitsAtAnyNumberOfThreads) {
  SmallRun run;
  GetParam().set(run.config);
  const Dataset dataset = run.dataset();
  const Trajectory one = train(run.config, dataset, 3, 1, GetParam().backend);
  for (const double loss : one.losses) EXPECT_NEAR(loss, 5, 1);
  for (const int threads : {1, 2, 3})
    EXPECT_TRUE(train(run.config, dataset, 3, threads, GetParam().backend) == one) << threads << " threads";
}

// What is dropped and computed again is the same to the bit, dropout included.
TEST_P(EveryVariant, RecomputePoliciesChangeNoBit) {
  SmallRun run;
  run.config.model.layers = 3;
  GetParam().set(run.config);
  const Dataset dataset = run.dataset();
  const Trajectory none = train(run.config, dataset, 3, 1, GetParam().backend);
  for (const char* policy : {"block", "every 2", "selective"}) {
    run.config.train.recompute = policy;
    EXPECT_TRUE(train(run.config, dataset, 3, 1, GetParam().backend) == none) << policy;
  }
}

INSTANTIATE_TEST_SUITE_P(Trainer, EveryVariant,
                         testing::Values(Variant{"plain", [](Config&) {}},
                                         Variant{"odd_batch",
                                                 [](Config& c) {
                                                   c.train.batch = 7;
                                                   c.train.grain = 3;
                                                 }},
                                         Variant{"documents", [](Config& c) { c.data.documents = true; }},
                                         Variant{"dropout", [](Config& c) { c.model.dropout = 0.3; }},
                                         Variant{"bf16", [](Config& c) { c.train.precision = "bf16"; }},
                                         Variant{"bf16_residual",
                                                 [](Config& c) {
                                                   c.train.precision = c.train.residual_dtype = "bf16";
                                                   c.model.dropout = 0.1;
                                                 }},
                                         Variant{"gpt2",
                                                 [](Config& c) {
                                                   c.model.family = "gpt2";
                                                   c.model.kv_heads = 4;
                                                   c.train.sequence = 11;
                                                 }},
                                         Variant{"gemma2", [](Config& c) { c.model.family = "gemma2"; }},
                                         Variant{"naive", [](Config&) {}, Backend::naive},
                                         Variant{"reference",
                                                 [](Config& c) {
                                                   c.model.width = 16;
                                                   c.train.grain = 3;
                                                 },
                                                 Backend::reference},
                                         Variant{"f64",
                                                 [](Config& c) {
                                                   c.model.width = 16;
                                                   c.train.precision = "f64";
                                                 },
                                                 Backend::reference}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(Trainer, DropoutChangesTrainingAndNotEvaluation) {
  SmallRun run;
  const Dataset dataset = run.dataset();
  const Trajectory without = train(run.config, dataset, 1);
  Trainer plain(run.config, dataset, Backend::cpu, 1);
  run.config.model.dropout = 0.3;
  EXPECT_NE(train(run.config, dataset, 1).losses, without.losses);
  Trainer dropping(run.config, dataset, Backend::cpu, 1);
  plain.initialise_weights();
  dropping.initialise_weights();
  EXPECT_EQ(plain.evaluate().loss, dropping.evaluate().loss);
}

TEST(Trainer, F64NeedsTheReferenceBackend) {
  SmallRun run;
  run.config.train.precision = "f64";
  const Dataset dataset = run.dataset();
  EXPECT_THAT(error_of([&] { Trainer(run.config, dataset, Backend::cpu, 1); }, ExitCode::usage),
              testing::HasSubstr("train.precision"));
}

TEST(Trainer, PrecisionsAgreeAsFarAsTheyGo) {
  SmallRun run;
  const Dataset dataset = run.dataset();
  const double f32 = train(run.config, dataset, 3).losses[2];
  run.config.train.precision = "bf16";
  EXPECT_NEAR(train(run.config, dataset, 3).losses[2], f32, 0.02);
  run.config.train.precision = "f64";
  EXPECT_NEAR(train(run.config, dataset, 3, 1, Backend::reference).losses[2], f32, 1e-4);
}

// The first gradient of a run; the moments have it times 1 - beta1, and clipping is off.
std::vector<double> first_gradient(Config config, const Dataset& dataset, int64 grain) {
  config.train.grain = grain;
  config.train.clip = 0;
  config.train.precision = "f64";
  Trainer trainer(config, dataset, Backend::reference, 1);
  trainer.initialise_weights();
  trainer.step();
  std::vector<double> gradient;
  for (int64 i = 0; i < trainer.state().moment1().elements(); ++i)
    gradient.push_back(load(trainer.state().moment1(), {i}) / (1 - config.train.beta1));
  return gradient;
}

// Documents differ in how many tokens are scored: each token weighs the same whatever grain it is in.
TEST(Trainer, GrainsWeighTheirTokens) {
  for (const bool documents : {false, true}) {
    SmallRun run;
    run.config.model.width = 16;
    run.config.train.batch = 5;
    run.config.data.documents = documents;
    const Dataset dataset = run.dataset();
    Batch batch;
    dataset.train_batch(0, 0, 5, 16, batch);
    EXPECT_EQ(batch.scored < 5 * 16, documents);
    const std::vector<double> whole = first_gradient(run.config, dataset, 5);
    for (const int64 grain : {1, 2, 3, 8}) {
      const std::vector<double> cut = first_gradient(run.config, dataset, grain);
      double most = 0;
      for (size_t i = 0; i < whole.size(); ++i) most = std::max(most, std::abs(whole[i] - cut[i]));
      EXPECT_LT(most, 1e-14) << "grains of " << grain;
    }
    run.config.train.precision = "f64";
    Trainer trainer(run.config, dataset, Backend::reference, 1);
    trainer.initialise_weights();
    Direct direct(trainer.decoder(), run.config, Backend::reference);
    const double sum =
        direct.train(trainer.state().weights(), batch, 1.0 / static_cast<double>(batch.scored));
    for (size_t i = 0; i < whole.size(); ++i)
      ASSERT_NEAR(whole[i], load(direct.gradients(), {static_cast<int64>(i)}), 1e-14);
    EXPECT_NEAR(trainer.step().loss, sum / static_cast<double>(batch.scored), 1e-13);
  }
}

// With dropout too: what is dropped in a row does not depend on the grain that it is in.
TEST(Trainer, DropoutBelongsToTheSample) {
  SmallRun run;
  run.config.model.width = 16;
  run.config.train.batch = 5;
  run.config.model.dropout = 0.3;
  const Dataset dataset = run.dataset();
  const std::vector<double> whole = first_gradient(run.config, dataset, 5);
  const std::vector<double> cut = first_gradient(run.config, dataset, 2);
  for (size_t i = 0; i < whole.size(); ++i) ASSERT_NEAR(whole[i], cut[i], 1e-14);
}

TEST(Trainer, BeginsAtItsSampleOfTheOrder) {
  SmallRun run;
  const Dataset dataset = run.dataset();
  Trainer later(run.config, dataset, Backend::cpu, 1, 2 * run.config.train.batch);
  later.initialise_weights();
  Trainer resumed(run.config, dataset, Backend::cpu, 1);
  resumed.initialise_weights();
  resumed.resume_at(2);
  EXPECT_EQ(later.step().loss, resumed.step().loss);
}

TEST(Trainer, EvaluatesEveryWindow) {
  for (const bool documents : {false, true})
    for (const int64 grain : {1, 3, 4}) {
      SmallRun run;
      run.config.train.grain = grain;
      run.config.data.documents = documents;
      run.config.train.sequence = 13;
      const Dataset dataset = run.dataset();
      Trainer trainer(run.config, dataset, Backend::cpu, 1);
      trainer.initialise_weights();
      trainer.step();
      Direct direct(trainer.decoder(), run.config, Backend::cpu);
      const int64 windows = (dataset.held_out_tokens() - 1) / 13;
      ASSERT_NE(windows % 4, 0);  // the last grain is not full
      double sum = 0;
      int64 scored = 0;
      Batch batch;
      for (int64 window = 0; window < windows; ++window) {
        dataset.evaluation_batch(window, 1, 13, batch);
        sum += direct.losses(trainer.state().weights(), batch);
        scored += batch.scored;
      }
      const std::string before = bits(trainer.state().weights());
      const EvaluationResult result = trainer.evaluate();
      EXPECT_EQ(result.tokens, scored);
      EXPECT_EQ(result.tokens < windows * 13, documents);
      EXPECT_NEAR(result.loss, sum / static_cast<double>(scored), 1e-6);
      EXPECT_EQ(bits(trainer.state().weights()), before);
    }
}

double moment_norm(Trainer& trainer) {
  double squares = 0;
  for (int64 i = 0; i < trainer.state().moment1().elements(); ++i)
    squares += std::pow(load(trainer.state().moment1(), {i}), 2);
  return std::sqrt(squares);
}

TEST(Trainer, ClipsTheNormOfTheGradient) {
  for (const double clip : {0.0, 0.01, 1e6}) {
    SmallRun run;
    run.config.train.clip = clip;
    const Dataset dataset = run.dataset();
    Trainer trainer(run.config, dataset, Backend::cpu, 1);
    trainer.initialise_weights();
    const StepResult step = trainer.step();
    ASSERT_GT(step.grad_norm, 0.02);
    const double applied = clip == 0.01 ? 0.01 : step.grad_norm;
    EXPECT_NEAR(moment_norm(trainer) / (1 - run.config.train.beta1), applied, 1e-4 * applied) << clip;
  }
}

struct Planted {
  const char *name, *parameter, *place;
};
void PrintTo(const Planted& planted, std::ostream* out) { *out << planted.name; }

class NonFinite : public testing::TestWithParam<Planted> {};

TEST_P(NonFinite, NamesTheFirstPlaceAndLeavesEverythingAsItWas) {
  for (const Backend backend : {Backend::cpu, Backend::naive, Backend::reference})
    for (const double value :
         {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()})
      for (const char* precision : {"f32", "bf16"}) {
        SmallRun run;
        run.config.train.precision = precision;
        run.config.train.batch = 3;
        const Dataset dataset = run.dataset();
        Trainer trainer(run.config, dataset, backend, 2);
        trainer.initialise_weights();
        trainer.step();
        const ParameterLayout& layout = trainer.decoder().layout();
        const Parameter& parameter = layout[layout.find(GetParam().parameter)];
        for (int64 column = 0; column < parameter.elements(); column += 3)
          store(trainer.state().weights(), {parameter.offset + column}, value);
        trainer.resume_at(1);
        const std::string weights = bits(trainer.state().weights()),
                          compute = bits(trainer.state().compute_weights()),
                          moment1 = bits(trainer.state().moment1()),
                          moment2 = bits(trainer.state().moment2());
        const std::string line = error_of([&] { trainer.step(); }, ExitCode::failed);
        EXPECT_THAT(line, testing::StartsWith("step 2: the loss is "));
        EXPECT_THAT(line, testing::HasSubstr(std::string("first seen in ") + GetParam().place + ";"))
            << name_of(backend) << " " << precision << " " << value;
        EXPECT_EQ(bits(trainer.state().weights()), weights);
        EXPECT_EQ(bits(trainer.state().compute_weights()), compute);
        EXPECT_EQ(bits(trainer.state().moment1()), moment1);
        EXPECT_EQ(bits(trainer.state().moment2()), moment2);
        EXPECT_EQ(trainer.steps_done(), 1);
      }
}

INSTANTIATE_TEST_SUITE_P(
    Trainer, NonFinite,
    testing::Values(Planted{"embedding", "embed.weight", "embed"},
                    Planted{"attention", "blocks.0.attention.q.weight", "blocks.0.attention"},
                    Planted{"attention_out", "blocks.1.attention.out.weight", "blocks.1.attention"},
                    Planted{"attention_norm", "blocks.1.attention_norm.weight", "blocks.1.attention"},
                    Planted{"mlp_gate", "blocks.0.mlp.gate.weight", "blocks.0.mlp"},
                    Planted{"mlp_down", "blocks.1.mlp.down.weight", "blocks.1.mlp"},
                    Planted{"mlp_norm", "blocks.0.mlp_norm.weight", "blocks.0.mlp"},
                    Planted{"final_norm", "final_norm.weight", "head backward"}),
    [](const auto& test) { return std::string(test.param.name); });

void scale(Trainer& trainer, const char* parameter, double factor) {
  const ParameterLayout& layout = trainer.decoder().layout();
  const View view = layout.view(trainer.state().weights(), layout.find(parameter));
  const View flat = view.reshape({view.elements()});
  for (int64 i = 0; i < flat.elements(); ++i) store(flat, {i}, load(flat, {i}) * factor);
}

// The forward is finite: what the up projection makes too large the down projection makes small again. Only
// the gradient of the latter, products of the largest numbers in the model, overflows f32.
TEST(Trainer, AGradientThatOverflowsIsNamedToo) {
  SmallRun run;
  const Dataset dataset = run.dataset();
  Trainer trainer(run.config, dataset, Backend::cpu, 1);
  trainer.initialise_weights();
  scale(trainer, "blocks.1.mlp.up.weight", 1e37);
  scale(trainer, "blocks.1.mlp.down.weight", 1e-37);
  scale(trainer, "head.weight", 1e8);
  const std::string before = bits(trainer.state().weights());
  const std::string line = error_of([&] { trainer.step(); }, ExitCode::failed);
  EXPECT_THAT(line, testing::StartsWith("step 1: the gradient's norm is "));
  EXPECT_THAT(line, testing::HasSubstr("first seen in the gradient of blocks.1.mlp.down.weight;"));
  EXPECT_EQ(bits(trainer.state().weights()), before);
}

// The good weights go on after the bad ones are mended, as if nothing had been.
TEST(Trainer, GoesOnAfterANonFiniteStep) {
  SmallRun run;
  const Dataset dataset = run.dataset();
  const Trajectory calm = train(run.config, dataset, 2);
  Trainer trainer(run.config, dataset, Backend::cpu, 1);
  trainer.initialise_weights();
  trainer.step();
  const ParameterLayout& layout = trainer.decoder().layout();
  const View norm = layout.view(trainer.state().weights(), layout.find("final_norm.weight"));
  const double good = load(norm, {5});
  store(norm, {5}, std::numeric_limits<double>::quiet_NaN());
  EXPECT_THROW(trainer.step(), UserError);
  store(norm, {5}, good);
  EXPECT_EQ(trainer.step().loss, calm.losses[1]);
  EXPECT_EQ(bits(trainer.state().weights()), calm.weights);
}

}  // namespace
}  // namespace fovea
