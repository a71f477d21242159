#include "train/run.h"

#include <cmath>
#include <limits>
#include <numeric>

#include "convert/safetensors.h"
#include "record/journal.h"
#include "runs.h"
#include "tests/record/event_reader.h"

namespace fovea {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitized = false;
#endif

TEST_F(Runs, LeaveARecordAJournalAndAModel) {
  const fs::path directory = run.folder / "run";
  const Dataset dataset = run.dataset();
  ASSERT_EQ(execute(directory), RunState::done);
  const RunRecord record = read_run_file(directory / kRunFileName);
  EXPECT_EQ(record.name, "small");
  EXPECT_EQ(record.identity, "0123456789abcdef0123456789abcdef");
  EXPECT_EQ(record.error, "");
  EXPECT_EQ(record.corpus.fingerprint, dataset.fingerprint());
  EXPECT_EQ(record.lineage.q_heads, 4);
  EXPECT_EQ(record.lineage.kv_heads, 2);
  EXPECT_EQ(record.counts.tokens, 10 * 5 * 16);
  EXPECT_EQ(record.counts.kv_bytes_per_token, 2 * 2 * 2 * 8 * 4);
  EXPECT_EQ(record.series.step, (std::vector<int64>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}));
  EXPECT_EQ(record.series.tokens.back(), 800);
  EXPECT_GT(record.seconds, 0);
  EXPECT_EQ(record.provenance.threads, 1);

  const Trajectory direct = train(run.config, dataset, 10);
  EXPECT_EQ(record.series.train_loss, direct.losses);
  EXPECT_EQ(record.series.grad_norm, direct.norms);
  const JournalContents journal = read_journal(directory / kJournalFileName);
  EXPECT_EQ(journal.series.train_loss, direct.losses);
  ASSERT_EQ(journal.begins.size(), 1u);
  EXPECT_EQ(journal.begins[0].total_steps, 10);
  ASSERT_TRUE(journal.end.has_value());
  EXPECT_EQ(journal.end->state, RunState::done);

  Trainer trainer(run.config, dataset, Backend::cpu, 1);
  const SafeTensors model(directory / kModelFileName);
  for (const Parameter& parameter : trainer.decoder().layout().parameters()) {
    const auto bytes = model.bytes(model.tensor(parameter.name));
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
              direct.weights.substr(static_cast<size_t>(parameter.offset) * 4,
                                    static_cast<size_t>(parameter.elements()) * 4))
        << parameter.name;
  }
  EXPECT_EQ(checkpoint_info(SafeTensors(directory / kModelFileName)).step, 10);
}

TEST_F(Runs, SayWhereTheTimeOfTheirStepsGoes) {
  const Outcome plain = calm();
  EXPECT_FALSE(read_run_file(run.folder / "calm" / kRunFileName).profile.has_value());
  run.config.run.profile = true;
  ASSERT_EQ(execute(run.folder / "profiled", 2), RunState::done);
  expect_equal(outcome_of(run.folder / "profiled"), plain);
  const RunRecord record = read_run_file(run.folder / "profiled" / kRunFileName);
  ASSERT_TRUE(record.profile.has_value());
  const StepProfile& profile = *record.profile;
  EXPECT_EQ(profile.steps, 9);  // the first warms up
  EXPECT_GT(profile.f32_flops, 1e8);
  EXPECT_GE(profile.bf16_flops, 0.5 * profile.f32_flops);
  EXPECT_GT(profile.read_bandwidth, 1e7);
  double seconds = 0, flops = 0;
  for (const OperationCost& operation : profile.operations) {
    EXPECT_GT(operation.seconds, 0) << operation.name;
    EXPECT_EQ(operation.calls % 9, 0) << operation.name;
    EXPECT_GT(operation.bytes, 0) << operation.name;
    seconds += operation.seconds;
    if (operation.name != "adamw" && operation.name != "add_into" && operation.name != "sum" &&
        operation.name != "sum_of_squares")
      flops += operation.flops;
  }
  EXPECT_LE(seconds, profile.seconds);
  // Three grains of two sequences, the last one padded: evaluations are no part of it.
  EXPECT_NEAR(flops, record.counts.flops_per_token * 9 * 6 * 16, 1e-6 * flops);
}

TEST_F(Runs, EvaluateOnTheWayAndAtTheEnd) {
  const Outcome outcome = calm();
  EXPECT_EQ(outcome.evaluated_at, (std::vector<int64>{4, 8, 10}));
  const RunRecord record = read_run_file(run.folder / "calm" / kRunFileName);
  for (const Evaluation& evaluation : record.evaluations)
    EXPECT_NEAR(evaluation.bits_per_byte.value(), evaluation.loss / std::log(2), 1e-12);  // a token is a byte
}

TEST_F(Runs, SayHowFarTheyAre) {
  calm();
  ASSERT_GE(progress.size(), 2u);
  EXPECT_EQ(progress.front().step, 1);
  EXPECT_EQ(progress.back().step, 10);
  EXPECT_EQ(progress.back().total_steps, 10);
  EXPECT_EQ(progress.back().seconds_left, 0);
  std::vector<int64> evaluating;
  for (const RunProgress& now : progress) {
    if (now.evaluating) evaluating.push_back(now.step);
    EXPECT_EQ(now.total_steps, 10);
    EXPECT_GT(now.loss, 0);
    EXPECT_GT(now.tokens_per_second, 0);
    EXPECT_GT(now.flops_per_second, now.tokens_per_second);
    EXPECT_GT(now.resident_bytes, 1 << 20);
  }
  EXPECT_EQ(evaluating, (std::vector<int64>{4, 8, 10}));
}

TEST_F(Runs, KeepTheirLastCheckpoints) {
  run.config.train.checkpoint_every = 2;
  calm();
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(run.folder / "calm" / "checkpoints"))
    names.push_back(entry.path().filename());
  EXPECT_THAT(names, testing::UnorderedElementsAre("step-00000006.safetensors", "step-00000008.safetensors"));
}

TEST_F(Runs, OfNoTokensOnlyEvaluate) {
  run.config.train.tokens = 0;
  const Outcome outcome = calm();
  EXPECT_EQ(outcome.steps, std::vector<int64>{});
  EXPECT_EQ(outcome.evaluated_at, std::vector<int64>{0});
  EXPECT_NEAR(outcome.evaluations[0], std::log(256), 0.1);
}

// How and for whom a run is run is no part of what it leaves to others.
TEST_F(Runs, LeaveTheSameModelHoweverTheyAreRun) {
  const Outcome expected = calm();
  run.config.study.name = "another";
  run.config.run.threads = 2;
  run.config.train.checkpoint_every = 3;
  ASSERT_EQ(execute(run.folder / "other", 2), RunState::done);
  expect_equal(outcome_of(run.folder / "other"), expected);
  const CheckpointInfo info = checkpoint_info(SafeTensors(run.folder / "other" / kModelFileName));
  EXPECT_EQ(canonical(config_from_text(info.config, "config")), canonical(run.config));
}

// What TensorBoard sees is what the record says, each step once, however the run was stopped.
TEST_F(Runs, TheirEventFilesSayWhatTheirRecordsSay) {
  run.config.run.tensorboard = true;
  run.config.train.evaluate_every = 2;
  run.config.train.checkpoint_every = 3;
  const fs::path directory = run.folder / "events";
  for (const int stop_after : {2, 5, 8}) {
    Child child(run, directory, 1, stop_after);
    if (stop_after == 5) {  // between checkpoints, without warning
      std::this_thread::sleep_for(std::chrono::milliseconds(400));
      child.kill();
    }
    child.wait();
  }
  ASSERT_EQ(execute(directory, 1), RunState::done);
  const RunRecord record = read_run_file(directory / kRunFileName);
  const test::Events events = test::events_in(directory / "tensorboard");
  const auto rounded = [](const std::vector<double>& values) {
    return std::vector<float>(values.begin(), values.end());
  };
  for (const auto& [tag, values] : {std::pair("train/loss", record.series.train_loss),
                                    {"train/lr", record.series.lr},
                                    {"train/grad_norm", record.series.grad_norm},
                                    {"speed/tokens_per_second", record.series.tokens_per_second}}) {
    EXPECT_EQ(events.steps(tag), record.series.step) << tag;
    EXPECT_EQ(events.values(tag), rounded(values)) << tag;
  }
  std::vector<int64> steps;
  std::vector<double> losses, bits;
  for (const Evaluation& evaluation : record.evaluations) {
    steps.push_back(evaluation.step);
    losses.push_back(evaluation.loss);
    bits.push_back(evaluation.bits_per_byte.value());
  }
  EXPECT_EQ(events.steps("evaluate/loss"), steps);
  EXPECT_EQ(events.values("evaluate/loss"), rounded(losses));
  EXPECT_EQ(events.values("evaluate/bits_per_byte"), rounded(bits));
  const auto& curve = events.scalars.at("train/loss");
  for (size_t i = 1; i < curve.size(); ++i) EXPECT_GE(curve[i].time, curve[i - 1].time);
}

TEST_F(Runs, WriteNoEventFilesUnasked) {
  ASSERT_EQ(execute(run.folder / "plain", 1), RunState::done);
  EXPECT_FALSE(fs::exists(run.folder / "plain" / "tensorboard"));
}

TEST_F(Runs, ThatFailSayWhyInTheirRecord) {
  // Weights from a file with a number that is none.
  const Dataset dataset = run.dataset();
  Trainer trainer(run.config, dataset, Backend::cpu, 1);
  trainer.initialise_weights();
  const ParameterLayout& layout = trainer.decoder().layout();
  store(layout.view(trainer.state().weights(), layout.find("final_norm.weight")), {3},
        std::numeric_limits<double>::quiet_NaN());
  const fs::path from = run.folder / "bad.safetensors", directory = run.folder / "failed";
  write_model(from, layout, trainer.state().weights(), {0, "bad", toml_text(run.config), 256});
  run.config.init.from = from.string();
  const std::string line = error_of([&] { execute(directory); }, ExitCode::failed);
  EXPECT_THAT(line, testing::StartsWith("step 1: the loss is nan, first seen in head backward"));
  const RunRecord record = read_run_file(directory / kRunFileName);
  EXPECT_EQ(record.state, RunState::failed);
  EXPECT_EQ(record.error, line);
  EXPECT_EQ(read_journal(directory / kJournalFileName).end->error, line);
  EXPECT_FALSE(fs::exists(directory / kModelFileName));
}

TEST_F(Runs, GoOnFromAnotherRunsModel) {
  run.config.model.kv_heads = 4;
  const Outcome baseline = calm();
  run.config.init.from = (run.folder / "calm" / kModelFileName).string();
  run.config.train.tokens = 0;
  ASSERT_EQ(execute(run.folder / "same"), RunState::done);
  EXPECT_EQ(outcome_of(run.folder / "same").evaluations, std::vector<double>{baseline.evaluations.back()});
  run.config.train.precision = "bf16";  // whose rounded copies come from the file too
  ASSERT_EQ(execute(run.folder / "rounded"), RunState::done);
  EXPECT_NEAR(outcome_of(run.folder / "rounded").evaluations[0], baseline.evaluations.back(), 0.02);
  run.config.train.precision = "f32";

  run.config.model.kv_heads = 1;
  EXPECT_THAT(error_of([&] { execute(run.folder / "unsaid"); }, ExitCode::usage),
              HasSubstr("init.conversion"));
  std::vector<double> losses;
  for (const char* conversion : {"mean", "first", "random"}) {
    run.config.init.conversion = conversion;
    ASSERT_EQ(execute(run.folder / conversion), RunState::done);
    losses.push_back(outcome_of(run.folder / conversion).evaluations[0]);
    EXPECT_LT(losses.back(), std::log(256) - 0.2) << conversion;  // something of the baseline is left
    EXPECT_NE(losses.back(), baseline.evaluations.back());
    EXPECT_EQ(read_run_file(run.folder / conversion / kRunFileName).lineage.kv_heads, 1);
  }
  run.config.init.conversion = "aligned_activations similar";
  run.config.model.kv_heads_per_layer = {2, 1};
  ASSERT_EQ(execute(run.folder / "mixed"), RunState::done);
  EXPECT_LT(outcome_of(run.folder / "mixed").evaluations[0], std::log(256) - 0.2);
  const RunRecord mixed = read_run_file(run.folder / "mixed" / kRunFileName);
  EXPECT_EQ(mixed.lineage.kv_heads, 0) << "layers differ";
  EXPECT_EQ(mixed.counts.kv_bytes_per_token, 2 * (2 + 1) * 8 * 4);
  const SafeTensors file(run.folder / "mixed" / kModelFileName);
  EXPECT_THAT(checkpoint_info(file).config, HasSubstr("kv_heads_per_layer = [2, 1]"));
  EXPECT_NE(losses[0], losses[1]);
  EXPECT_NE(losses[1], losses[2]);
}

// In a process of its own: what a peak says is the most there ever was.
TEST_F(Runs, MeasureTheMemoryThatWasPredicted) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer takes memory of its own";
  run.config.model = ModelConfig{};
  run.config.model.layers = 3;
  run.config.model.width = 448;
  run.config.model.q_heads = 7;
  run.config.model.context = 64;
  run.config.train.batch = 8;
  run.config.train.grain = 4;
  run.config.train.tokens = 2 * 8 * 64;
  run.config.train.evaluate_every = 0;
  const fs::path directory = run.folder / "large";
  Child child(run, directory, 2, 0);
  ASSERT_EQ(child.wait(), kDone);
  const MemoryUse memory = read_run_file(directory / kRunFileName).memory;
  ASSERT_GT(memory.predicted_bytes, 128 << 20);
  const double ratio =
      static_cast<double>(memory.measured_peak_bytes) / static_cast<double>(memory.predicted_bytes);
  RecordProperty("measured_over_predicted", fmt::format("{:.3f}", ratio));
  EXPECT_GT(ratio, 0.9);
  EXPECT_LT(ratio, 1.1);
}

}  // namespace
}  // namespace fovea
