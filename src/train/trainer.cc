#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/host_copy.h"
#include "kernels/adamw/adamw.h"
#include "kernels/reduce/reduce.h"
#include "model/families.h"
#include "train/device_room.h"
#include "train/schedule.h"

namespace fovea {

StepTotals::StepTotals(int64 grains, Device device)
    : losses(DType::f64, {grains}, device),
      loss(DType::f64, {1}, device),
      squares_sum(DType::f64, {1}, device),
      factor(DType::f64, {1}, device),
      go(DType::i32, {1}, device),
      host_losses(DType::f64, {grains}),
      host_squares(DType::f64, {1}) {}

void StepTotals::read(Stream& stream) const {
  stream.copy(host_losses, losses);
  stream.copy(host_squares, squares_sum);
}

Trainer::Trainer(const Config& config, const Dataset& dataset, Backend backend, int threads,
                 int64 first_sample)
    : config_(config),
      dataset_(dataset),
      decoder_(decoder_shape(config.model, dataset.vocabulary()), step_shape(config).length,
               precision_of(config.train, backend).wide, device_of(backend)),
      plan_(plan_that_fits(decoder_, config, backend, threads)),
      stream_(backend, threads),
      state_(decoder_.layout(), plan_.precision.wide, plan_.precision.compute, config.train.ema > 0,
             stream_.device()),
      summed_gradients_(summed_gradients(decoder_.layout())),
      tree_(plan_.precision.wide, decoder_.layout().elements(), plan_.shape.grains(), stream_.device()),
      guard_(config.train),
      arena_memory_(plan_.arena_bytes(), stream_.device()),
      first_sample_(first_sample),
      total_steps_(fovea::total_steps(config)) {
  const int64 n = plan_.shape.grain_rows();
  tokens_ = Buffer(DType::i32, {n}, stream_.device());
  targets_ = Buffer(DType::i32, {n}, stream_.device());
  positions_ = Buffer(DType::i32, {n}, stream_.device());
  losses_ = Buffer(plan_.precision.wide, {n}, stream_.device());
  totals_ = StepTotals(plan_.shape.grains(), stream_.device());
  // With documents naive attention then holds more than it uses, which depends on the data; what was planned
  // is what is held.
  stream_.reserve_scratch(plan_.scratch_bytes);
  train_arena_.replay(plan_.train, arena_memory_);
  evaluate_arena_.replay(plan_.evaluate, arena_memory_);
}

void Trainer::initialise_weights() {
  const HostCopy weights(state_.weights(), HostCopy::Fetch::never);
  Stream host(stream_.device() == Device::cpu ? stream_.backend() : Backend::cpu, stream_.threads());
  initialise(host, decoder_.layout(), weights, static_cast<uint64>(config_.train.seed));
  host.synchronize();
  weights.store();
  resume_at(0);
}

void Trainer::resume_at(int64 step) {
  steps_done_ = step;
  if (step == 0) state_.start_average(stream_);
  state_.refresh_compute_weights(stream_);
  stream_.synchronize();
}

void Trainer::load_batch() {
  const auto copy = [&](const Buffer& to, std::vector<int32>& from) {
    stream_.copy(to, View(from.data(), DType::i32, {static_cast<int64>(from.size())}));
  };
  copy(tokens_, batch_.tokens);
  copy(targets_, batch_.targets);
  copy(positions_, batch_.positions);
  documents_.reset();
  if (!batch_.documents.empty())
    documents_ = std::make_shared<const DocumentBounds>(DocumentBounds{batch_.documents, batch_.documents});
}

StepContext Trainer::context(const View& gradients, int64 first_sample) {
  Arena& arena = gradients ? train_arena_ : evaluate_arena_;
  arena.rewind();
  return {.stream = stream_,
          .arena = arena,
          .layout = decoder_.layout(),
          .precision = plan_.precision,
          .weights = gradients ? state_.weights() : state_.average(),
          .compute_weights = gradients ? state_.compute_weights() : state_.compute_average(),
          .gradients = gradients,
          .first_gradients = true,
          .batch = {plan_.shape.grain, plan_.shape.length, tokens_, targets_, positions_, documents_},
          .dropout = gradients ? decoder_.shape().dropout : 0,
          .seed = static_cast<uint64>(config_.train.seed),
          .first_row = static_cast<uint64>(first_sample * plan_.shape.length),
          .buffers = &buffers_};
}

double Trainer::sum_losses() {
  sum(stream_, losses_, sum_);
  stream_.synchronize();
  return sum_.get();
}

namespace {

// The rows of one grain within a batch of `sequences`; what is beyond the batch is padding without targets.
void pad_rows(Batch& batch, int64 rows) {
  const auto size = static_cast<size_t>(rows * batch.length);
  batch.tokens.resize(size, 0);
  batch.targets.resize(size, kIgnoredTarget);
  for (int64 row = batch.rows; row < rows; ++row)
    for (int64 t = 0; t < batch.length; ++t) batch.positions.push_back(static_cast<int32>(t));
  if (!batch.documents.empty())
    for (int64 row = batch.rows; row < rows; ++row) batch.documents.push_back((row + 1) * batch.length);
  batch.rows = rows;
}

}  // namespace

int64 Trainer::read_grain(int64 grain) {
  const StepShape& shape = plan_.shape;
  const int64 begin = grain * shape.grain, rows = std::min(shape.grain, shape.sequences - begin);
  const int64 first = first_sample_ + steps_done_ * shape.sequences + begin;
  dataset_.train_batch(static_cast<uint64>(config_.train.seed), first, rows, shape.length, batch_);
  pad_rows(batch_, shape.grain);
  return first;
}

double Trainer::accumulate_gradients() {
  const StepShape& shape = plan_.shape;
  // The loss is the mean over the scored tokens of the whole batch, so their number comes before the first
  // gradient.
  int64 scored = shape.sequences * shape.length;
  if (config_.data.documents) {
    scored = 0;
    for (int64 grain = 0; grain < shape.grains(); ++grain) {
      read_grain(grain);
      scored += batch_.scored;
    }
  }
  const double weight = 1 / static_cast<double>(std::max<int64>(1, scored));
  tree_.start();
  for (int64 grain = 0; grain < shape.grains(); ++grain) {
    const int64 first_sample = read_grain(grain);
    load_batch();
    const View& gradients = tree_.next();
    fill_zero(stream_, gradients, summed_gradients_);
    decoder_.train(context(gradients, first_sample), losses_, weight, plan_.recompute);
    tree_.carry(stream_);
    sum(stream_, losses_, totals_.losses.view().slice({grain, grain + 1}));
  }
  return weight;
}

double Trainer::mean_loss(double weight) const {
  const View sums = totals_.host_losses;
  double loss = 0;
  for (int64 grain = 0; grain < sums.size(0); ++grain) loss += sums.data<double>()[grain] * weight;
  return loss;
}

StepResult Trainer::step() {
  const bool profile = config_.run.profile && warm_;
  warm_ = true;
  if (!profile) return take_step();
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  stream_.profile(true);
  const StepResult result = take_step();
  stream_.profile(false);
  profiled_seconds_ += std::chrono::duration<double>(Clock::now() - start).count();
  ++profiled_steps_;
  return result;
}

// The host enqueues all of a step and waits once: whether it is taken, and how far the gradient is clipped,
// is decided where the stream computes. It waits before the update too where it has to judge the loss (the
// spike guard), and where nobody knows yet that the state is finite.
StepResult Trainer::take_step() {
  const double weight = accumulate_gradients();
  const View gradient = tree_.finish(stream_);
  sum(stream_, totals_.losses, totals_.loss);
  sum_of_squares(stream_, gradient, totals_.squares_sum);
  gate_update(stream_, {.squares = totals_.squares_sum,
                        .loss = totals_.loss,
                        .factor = totals_.factor,
                        .go = totals_.go,
                        .clip = config_.train.clip});
  totals_.read(stream_);
  bool skipped = false;
  if (guard_.on() || !state_is_finite_) {
    stream_.synchronize();
    expect_finite(weight);
    if (!state_is_finite_) check_state();
    skipped = is_spike(mean_loss(weight));
  }
  const double lr = learning_rate(config_.train, steps_done_, total_steps_);
  if (!skipped)
    state_.update(stream_, config_.train, gradient, lr, {totals_.factor, totals_.go}, steps_done_ + 1);
  stream_.synchronize();
  expect_finite(weight);
  if (!skipped) {
    state_is_finite_ = state_.updated_finite();
    state_.update_average(stream_, config_.train);
  }
  const double loss = mean_loss(weight), norm = std::sqrt(totals_.squares());
  guard_.remember(loss, skipped);
  ++steps_done_;
  return {steps_done_, loss, lr, norm, skipped};
}

void Trainer::expect_finite(double weight) {
  const double loss = mean_loss(weight), norm = std::sqrt(totals_.squares());
  if (!std::isfinite(loss) || !std::isfinite(norm)) explain_non_finite(loss, norm);
}

bool Trainer::is_spike(double loss) {
  const double limit = guard_.limit();
  if (loss <= limit) return false;
  if (!guard_.skips())
    fail_run(
        "step {}: the loss is {:.4f}, above {:.4f}, the limit of train.spike_guard about the mean of {:.4f}; "
        "the weights are those of step {}: lower train.lr, or set train.spike_guard = \"skip\"",
        steps_done_ + 1, loss, limit, guard_.mean(), steps_done_);
  if (guard_.skipped_in_a_row() == SpikeGuard::kMostSkipped)
    fail_run(
        "step {}: the loss is {:.4f}, and {} updates in a row were skipped by train.spike_guard: it does not "
        "come back below {:.4f}; lower train.lr, or raise train.spike_sigma",
        steps_done_ + 1, loss, SpikeGuard::kMostSkipped, limit);
  return true;
}

// What the forward does not read (moments, masters beside a rounded copy, rows of absent tokens) would spoil
// the weights a step before the loss told. The update says it of what it writes, at no cost; an average of
// what is finite is.
void Trainer::check_state() {
  struct Part {
    const char* name;
    const View& all;
  };
  const Part parts[] = {{"the weights of", state_.weights()},
                        {"the first moment of", state_.moment1()},
                        {"the second moment of", state_.moment2()},
                        {"the average of", state_.average()}};
  for (const Part& part : parts) {
    const bool average = &part == std::end(parts) - 1;
    if (average && !state_.averaged()) continue;
    const Readback<double> squares = sum_of_squares(stream_, part.all);
    stream_.synchronize();
    if (std::isfinite(squares.get())) continue;
    for (const Parameter& parameter : decoder_.layout().parameters()) {
      const Range range{parameter.offset, parameter.offset + parameter.elements()};
      const Readback<double> own = sum_of_squares(stream_, part.all.slice(range));
      stream_.synchronize();
      if (!std::isfinite(own.get()))
        fail_run(
            "step {}: {} {} holds what is not finite, while loss and gradient are finite; the weights are "
            "those of step {}: go back to a checkpoint before it",
            steps_done_ + 1, part.name, parameter.name, steps_done_);
    }
    FOVEA_CHECK(false, "{} no parameter is not finite", part.name);
  }
}

// Runs the batch again with a probe; the weights have not changed, so what happens is what happened.
void Trainer::explain_non_finite(double loss, double norm) {
  const StepShape& shape = plan_.shape;
  const std::string nowhere = "the sum over grains";
  std::string place = nowhere;
  for (int64 grain = 0; grain < shape.grains() && place == nowhere; ++grain) {
    const int64 first_sample = read_grain(grain);
    load_batch();
    Probe probe;
    tree_.start();
    const View& gradients = tree_.next();
    fill_zero(stream_, gradients, summed_gradients_);
    StepContext probing = context(gradients, first_sample);
    probing.probe = &probe;
    decoder_.train(probing, losses_, 1, plan_.recompute);
    for (ParameterId id = 0; id < static_cast<ParameterId>(decoder_.layout().parameters().size()); ++id) {
      const View gradient = probing.gradient(id);
      probing.look("the gradient of ", decoder_.layout()[id].name, gradient);
    }
    stream_.synchronize();
    const auto bad = std::find_if(probe.sums.begin(), probe.sums.end(),
                                  [](const auto& entry) { return !std::isfinite(entry.second.get()); });
    if (bad != probe.sums.end()) place = bad->first;
  }
  fail_run(
      "step {}: the {} is {}, first seen in {}; the weights are those of step {}: lower train.lr or look at "
      "the data",
      steps_done_ + 1, std::isfinite(loss) ? "gradient's norm" : "loss", std::isfinite(loss) ? norm : loss,
      place, steps_done_);
}

std::optional<EvaluationResult> Trainer::evaluate_unless(FunctionRef<bool()> stop) {
  const int64 rows = plan_.shape.grain, length = plan_.shape.length;
  const int64 windows = dataset_.evaluation_windows(length);
  state_.use_average(stream_);
  double total = 0;
  int64 tokens = 0;
  for (int64 window = 0; window < windows; window += rows) {
    if (stop()) {
      if (state_.averaged()) state_.refresh_compute_weights(stream_);
      return std::nullopt;
    }
    dataset_.evaluation_batch(window, rows, length, batch_);
    load_batch();
    decoder_.losses(context({}, 0), losses_);
    total += sum_losses();
    tokens += batch_.scored;
  }
  if (state_.averaged()) state_.refresh_compute_weights(stream_);
  return EvaluationResult{total / static_cast<double>(std::max<int64>(1, tokens)), tokens};
}

}  // namespace fovea
