// A device trains the same model from the same configuration, by the same code, and is held to the CPU.

#include <gtest/gtest.h>

#include <cmath>

#include "core/host_copy.h"
#include "helpers.h"
#include "model/families.h"
#include "train/checkpoint.h"

namespace fovea {
namespace {

struct Variant {
  const char* name;
  void (*set)(Config&);
};
void PrintTo(const Variant& variant, std::ostream* out) { *out << variant.name; }

const Variant kVariants[] = {
    {"llama", [](Config&) {}},
    {"gpt2",
     [](Config& config) {
       config.model.family = "gpt2";
       config.model.kv_heads = 4;
       config.model.dropout = 0.1;
     }},
    {"neox",
     [](Config& config) {
       config.model.family = "neox";
       config.model.kv_heads = 4;
     }},
    {"gemma2", [](Config& config) { config.model.family = "gemma2"; }},
    {"documents", [](Config& config) { config.data.documents = true; }},
    {"recompute", [](Config& config) { config.train.recompute = "block"; }},
    {"average", [](Config& config) { config.train.ema = 0.9; }},
};

std::vector<double> losses(const Config& config, const Dataset& dataset, Backend backend, int64 steps) {
  return train(config, dataset, steps, 1, backend).losses;
}

class OnDevice : public testing::TestWithParam<Variant> {};
INSTANTIATE_TEST_SUITE_P(Variants, OnDevice, testing::ValuesIn(kVariants),
                         [](const auto& variant) { return std::string(variant.param.name); });

TEST_P(OnDevice, TwentyStepsAreTheCpus) {
  SmallRun run;
  GetParam().set(run.config);
  const Dataset dataset = run.dataset();
  const std::vector<double> cpu = losses(run.config, dataset, Backend::cpu, 20);
  const std::vector<double> device = losses(run.config, dataset, Backend::cuda, 20);
  EXPECT_LT(cpu.back(), cpu.front() - 0.1);  // it learns
  for (size_t i = 0; i < cpu.size(); ++i) EXPECT_NEAR(device[i], cpu[i], 1e-4 * cpu[i]) << "step " << i + 1;
}

// By the error rule: no further from f32 than twice the CPU's own bf16.
TEST_P(OnDevice, Bf16IsAsFarFromF32AsTheCpus) {
  SmallRun run;
  GetParam().set(run.config);
  const Dataset dataset = run.dataset();
  const std::vector<double> exact = losses(run.config, dataset, Backend::cpu, 20);
  run.config.train.precision = "bf16";
  const std::vector<double> cpu = losses(run.config, dataset, Backend::cpu, 20);
  const std::vector<double> device = losses(run.config, dataset, Backend::cuda, 20);
  double of_cpu = 0, of_device = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    of_cpu = std::max(of_cpu, std::abs(cpu[i] - exact[i]));
    of_device = std::max(of_device, std::abs(device[i] - exact[i]));
  }
  EXPECT_GT(of_device, 0);
  EXPECT_LE(of_device, 2 * of_cpu + 1e-4 * exact.front());
}

TEST(Device, TheSameBitsAgain) {
  SmallRun run;
  run.config.train.precision = "bf16";
  const Dataset dataset = run.dataset();
  EXPECT_TRUE(train(run.config, dataset, 3, 1, Backend::cuda) ==
              train(run.config, dataset, 3, 1, Backend::cuda));
}

TEST(Device, RecomputePoliciesChangeNoBit) {
  SmallRun run;
  const Dataset dataset = run.dataset();
  const Trajectory none = train(run.config, dataset, 3, 1, Backend::cuda);
  for (const char* policy : {"block", "selective"}) {
    run.config.train.recompute = policy;
    EXPECT_TRUE(train(run.config, dataset, 3, 1, Backend::cuda) == none) << policy;
  }
}

TEST(Device, EvaluatesAsTheCpu) {
  SmallRun run;
  const Dataset dataset = run.dataset();
  Trainer cpu(run.config, dataset, Backend::cpu, 1), device(run.config, dataset, Backend::cuda, 1);
  cpu.initialise_weights();
  device.initialise_weights();
  EXPECT_EQ(bits(cpu.state().weights()), bits(HostCopy(device.state().weights())));
  const EvaluationResult expected = cpu.evaluate(), found = device.evaluate();
  EXPECT_EQ(found.tokens, expected.tokens);
  EXPECT_NEAR(found.loss, expected.loss, 1e-5 * expected.loss);
}

// One backend's checkpoint is another's.
TEST(Device, CheckpointsGoBothWays) {
  SmallRun run;
  const Dataset dataset = run.dataset();
  const std::vector<double> whole = losses(run.config, dataset, Backend::cpu, 6);
  const CheckpointInfo info{3, std::string(32, '0'), "", 256};
  for (const auto& [first, second] :
       {std::pair{Backend::cpu, Backend::cuda}, std::pair{Backend::cuda, Backend::cpu}}) {
    const std::filesystem::path path = run.folder / fmt::format("{}.safetensors", name_of(first));
    Trainer writer(run.config, dataset, first, 1);
    writer.initialise_weights();
    for (int i = 0; i < 3; ++i) writer.step();
    write_checkpoint(path, writer.decoder().layout(), writer.state(), info);
    Trainer reader(run.config, dataset, second, 1);
    reader.resume_at(read_checkpoint(path, reader.decoder().layout(), reader.state(), info).step);
    EXPECT_EQ(bits(HostCopy(reader.state().weights())), bits(HostCopy(writer.state().weights())));
    EXPECT_EQ(bits(HostCopy(reader.state().moment2())), bits(HostCopy(writer.state().moment2())));
    for (size_t i = 3; i < 6; ++i)
      EXPECT_NEAR(reader.step().loss, whole[i], 1e-4 * whole[i]) << name_of(first);
  }
}

// Once the state is known to be finite nobody waits before the update: what overflows has to be held back
// where it is computed.
TEST(Device, AStepThatOverflowsWritesNothing) {
  SmallRun run;
  run.config.train.lr = 1e15;  // scores overflow, weights and moments do not
  run.config.train.schedule = "constant";
  const Dataset dataset = run.dataset();
  for (const Backend backend : {Backend::cpu, Backend::cuda}) {
    Trainer trainer(run.config, dataset, backend, 1);
    trainer.initialise_weights();
    // Whoever asks for the state makes the trainer look at it: once, before.
    const View weights = trainer.state().weights(), moment = trainer.state().moment2();
    const auto state = [&] { return bits(HostCopy(weights)) + bits(HostCopy(moment)); };
    std::string before;
    const std::string line = error_of(
        [&] {
          while (trainer.steps_done() < trainer.total_steps()) {
            before = state();
            trainer.step();
          }
        },
        ExitCode::failed);
    EXPECT_GT(trainer.steps_done(), 0) << line;  // the first step looks
    EXPECT_TRUE(state() == before) << name_of(backend) << ": " << line;
  }
}

// The host learns at the end of a step that it came to nothing finite; the step has then changed nothing, and
// is run again to say where.
TEST(Device, WhatIsNotFiniteIsNamedAndChangesNothing) {
  SmallRun run;
  const Dataset dataset = run.dataset();
  const auto line_on = [&](Backend backend) {
    Trainer trainer(run.config, dataset, backend, 1);
    trainer.initialise_weights();
    trainer.step();
    const View weights = trainer.state().weights();
    const HostCopy host(weights);
    const ParameterLayout& layout = trainer.decoder().layout();
    const View spoilt = layout.view(host.view(), layout.find("blocks.1.mlp.up.weight"));
    spoilt.data<float>()[3] = std::numeric_limits<float>::quiet_NaN();
    host.store();
    trainer.resume_at(1);
    const std::string before = bits(HostCopy(trainer.state().weights()));
    const std::string line = error_of([&] { trainer.step(); }, ExitCode::failed);
    EXPECT_EQ(bits(HostCopy(trainer.state().weights())), before);
    return line;
  };
  const std::string line = line_on(Backend::cuda);
  EXPECT_EQ(line, line_on(Backend::cpu));
  EXPECT_NE(line.find("blocks.1"), line.npos) << line;
}

// Before anything is allocated, and with the plan that would do.
TEST(Device, ARunThatDoesNotFitSaysWhichPlanWould) {
  SmallRun run;
  const Dataset dataset = run.dataset();
  const auto planned = [&] {
    const Decoder decoder(decoder_shape(run.config.model, dataset.vocabulary()),
                          step_shape(run.config).length, DType::f32, Device::cuda);
    return plan_training(decoder, run.config, Backend::cuda, 1).predicted_bytes();
  };
  const auto line = [&] {
    return error_of([&] { const Trainer trainer(run.config, dataset, Backend::cuda, 1); }, ExitCode::failed);
  };
  run.config.train.grain = run.config.train.batch = 64;
  while (planned() <= device::free_bytes())
    run.config.train.grain = run.config.train.batch += run.config.train.batch / 8;
  const std::string fits = line();
  const size_t at = fits.find("train.fit = \"");
  ASSERT_NE(at, fits.npos) << fits;
  const size_t begin = at + 13;
  run.config.train.fit = fits.substr(begin, fits.find('"', begin) - begin);
  EXPECT_LE(planned(), device::free_bytes());
  run.config.train.fit = "";
  while (line().find("everything recomputed") == std::string::npos)
    run.config.train.grain = run.config.train.batch *= 2;
}

}  // namespace
}  // namespace fovea
