#pragma once

#include <optional>
#include <string>

#include "core/thread_pool.h"
#include "data/dataset.h"
#include "train/gradient_tree.h"
#include "train/optimizer.h"
#include "train/plan.h"
#include "train/spike_guard.h"

namespace fovea {

struct StepResult {
  int64 step = 0;   ///< steps done, this one included
  double loss = 0;  ///< nat/token over the batch, before the update
  double lr = 0;
  double grad_norm = 0;  ///< before clipping
  bool skipped = false;  ///< the loss was a spike: weights, moments and average are as before
};

struct EvaluationResult {
  double loss = 0;  ///< nat/token
  int64 tokens = 0;
};

/// What one step comes to, where the stream computes it, and the host's copy of what is read.
struct StepTotals {
  StepTotals() = default;
  StepTotals(int64 grains, Device device);
  /// Enqueues the copy.
  void read(Stream& stream) const;
  double squares() const { return host_squares.view().data<double>()[0]; }

  Buffer losses;                     ///< (grains) f64: the sum of each grain's losses
  Buffer loss, squares_sum, factor;  ///< (1) f64
  Buffer go;                         ///< (1) i32
  Buffer host_losses, host_squares;
};

/// One model in training on one device: owns weights, moments, gradients and the arena; allocates nothing
/// after its construction.
class Trainer {
 public:
  /// Weights are zero until they are drawn or loaded. Training begins at this sample of the data's order.
  Trainer(const Config& config, const Dataset& dataset, Backend backend, int threads, int64 first_sample = 0);

  const Decoder& decoder() const { return decoder_; }
  const TrainingPlan& plan() const { return plan_; }
  Device device() const { return stream_.device(); }
  /// What is written to it is looked at in the next step.
  OptimizerState& state() {
    state_is_finite_ = false;
    return state_;
  }
  int64 steps_done() const { return steps_done_; }
  int64 total_steps() const { return total_steps_; }
  /// With run.profile, what the operations of the steps took, the first one aside, which warms up.
  struct Profile {
    int64 steps = 0;
    double seconds = 0;  ///< operations and what is between them
    const std::map<std::string_view, OperationTotal>& operations;
  };
  Profile profile() const { return {profiled_steps_, profiled_seconds_, stream_.operations()}; }

  /// Fresh weights, drawn by (config.train.seed).
  void initialise_weights();
  /// After weights (and moments, and from step 1 on the average) were written from outside.
  void resume_at(int64 step);
  /// Of each step before the one resumed at, in order: what the spike guard judges by.
  void recall(double loss, bool skipped) { guard_.remember(loss, skipped); }

  /// One optimizer step. Throws UserError (failed) where the loss, the gradient's norm or the state is not
  /// finite, naming the step and the first place of the model that was, and where the loss is a spike and
  /// train.spike_guard stops at it; weights and moments are then as before.
  StepResult step();
  /// The mean loss over every window of the held-out split; nothing where a stop, asked for before each
  /// grain, comes first.
  std::optional<EvaluationResult> evaluate_unless(FunctionRef<bool()> stop);
  EvaluationResult evaluate() {
    return *evaluate_unless([] { return false; });
  }

 private:
  StepContext context(const View& gradients, int64 first_sample);
  void load_batch();
  /// Reads grain `grain` of the step's batch; returns its first sample.
  int64 read_grain(int64 grain);
  double sum_losses();
  /// Enqueues forward and backward of the whole batch: gradients are summed into the tree, losses into
  /// totals_. What a loss is weighted with in the mean.
  double accumulate_gradients();
  /// The mean loss, once the stream has come to it.
  double mean_loss(double weight) const;
  [[noreturn]] void explain_non_finite(double loss, double norm);
  void expect_finite(double weight);
  void check_state();
  StepResult take_step();
  /// Whether the update is to be left out.
  bool is_spike(double loss);

  Config config_;
  const Dataset& dataset_;
  Decoder decoder_;
  TrainingPlan plan_;
  Stream stream_;
  OptimizerState state_;
  Ranges summed_gradients_;  // begin as zeros in each grain
  GradientTree tree_;
  SpikeGuard guard_;
  Buffer arena_memory_, tokens_, targets_, positions_, losses_;
  Arena train_arena_, evaluate_arena_;
  StepBuffers buffers_;
  Readback<double> sum_;  ///< of losses in evaluation
  StepTotals totals_;
  std::shared_ptr<const DocumentBounds> documents_;
  Batch batch_;
  int64 first_sample_ = 0, steps_done_ = 0, total_steps_ = 0;
  bool state_is_finite_ = false;  ///< as the last update says; else nobody knows
  bool warm_ = false;
  int64 profiled_steps_ = 0;
  double profiled_seconds_ = 0;
};

}  // namespace fovea
