#include "experiments/describe_plan.h"

#include <algorithm>
#include <thread>

#include "data/dataset.h"
#include "experiments/progress_line.h"
#include "kernels/simd/instruction_set.h"
#include "model/describe.h"
#include "model/families.h"
#include "train/plan.h"
#include "train/schedule.h"

namespace fovea {
namespace {

int threads_or_all(int64 threads) {
  return static_cast<int>(threads ? threads : std::max(1u, std::thread::hardware_concurrency()));
}

TrainingPlan plan_of(const Config& config, int64 threads) {
  const Backend backend = backend_named(config.run.backend);
  use_instruction_set(instruction_set_named(config.run.instruction_set));  // workspaces go with it
  const Decoder decoder(decoder_shape(config.model, vocabulary_of(config.data)), step_shape(config).length,
                        precision_of(config.train, backend).wide);
  return plan_training(decoder, config, backend, threads_or_all(threads));
}

// "1.2 MFLOP and 3.1 KiB"
std::string recomputed_text(const TrainingPlan& p) {
  const auto rows = static_cast<double>(p.shape.grain_rows());
  return fmt::format("{} and {}", count_text(p.recomputed.flops / rows, "FLOP"),
                     bytes_text(static_cast<int64>(static_cast<double>(p.recomputed.bytes) / rows)));
}

}  // namespace

std::string describe_plan(const StudyPlan& plan, int64 threads) {
  size_t width = 3;
  for (const PlannedRun& run : plan.runs) width = std::max(width, run.name.size());
  const bool graph =
      std::any_of(plan.runs.begin(), plan.runs.end(), [](const auto& run) { return !run.baseline.empty(); });
  std::string text =
      fmt::format("{:<{}}  {:>10}  {:>9}  {:>7}  {:>10}  {:>11}{}\n", "run", width, "parameters", "tokens",
                  "steps", "memory", "FLOP", graph ? "  starts from" : "");
  double tokens = 0, flops = 0;
  int64 most = 0;
  std::string recomputed;
  for (const PlannedRun& run : plan.runs) {
    const TrainingPlan p = plan_of(run.config, threads);
    const int64 steps = total_steps(run.config);
    const double n = static_cast<double>(steps * p.shape.sequences * p.shape.length);
    text += fmt::format("{:<{}}  {:>10}  {:>9}  {:>7}  {:>10}  {:>11}{}{}\n", run.name, width,
                        count_text(static_cast<double>(p.parameters)), count_text(n), steps,
                        bytes_text(p.predicted_bytes()), count_text(n * p.train_flops_per_token(), "FLOP"),
                        run.baseline.empty() ? "" : "  ", run.baseline);
    const TrainConfig& train = run.config.train;
    if (!train.fit.empty() || train.recompute == "selective")
      recomputed += fmt::format("{:<{}}  recomputes {}: {} a token\n", run.name, width,
                                describe(p.recompute, run.config.model.layers), recomputed_text(p));
    tokens += n;
    flops += n * p.train_flops_per_token();
    most = std::max(most, p.predicted_bytes());
  }
  text += recomputed;
  text += fmt::format("{} run{}, {} tokens, {} of training, at most {} of memory a run\n", plan.runs.size(),
                      plan.runs.size() == 1 ? "" : "s", count_text(tokens), count_text(flops, "FLOP"),
                      bytes_text(most));
  return text;
}

std::string describe_prediction(const Config& config, int64 threads) {
  const TrainingPlan p = plan_of(config, threads);
  const DecoderShape shape = decoder_shape(config.model, vocabulary_of(config.data));
  std::string text = fmt::format("the model, {}\n{}\npredicted\n", shape.family, describe(shape));
  const auto line = [&](const char* what, const std::string& value) {
    text += fmt::format("  {:<29}  {}\n", what, value);
  };
  line("vocabulary", describe_vocabulary(config.data));
  line("parameters", count_text(static_cast<double>(p.parameters)));
  line("optimizer steps", std::to_string(total_steps(config)));
  line("grains per step", std::to_string(p.shape.grains()));
  line("KV cache per token", fmt::format("{} bytes", shape.kv_bytes_per_token(size_of(p.precision.compute))));
  line("training, per token", count_text(p.train_flops_per_token(), "FLOP"));
  line("recomputed", describe(p.recompute, shape.layers));
  if (p.recomputed.bytes > 0) line("  per token", recomputed_text(p));
  line("memory", bytes_text(p.predicted_bytes()));
  line("  weights, moments, gradients", bytes_text(p.state_bytes));
  line("  activations (arena)", bytes_text(p.arena_bytes()));
  line("  scratch", bytes_text(p.scratch_bytes));
  line("  batch, tables", bytes_text(p.batch_bytes + p.table_bytes + p.host_bytes));
  line("  libraries and code", bytes_text(p.overhead_bytes));
  return text;
}

}  // namespace fovea
