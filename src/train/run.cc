#include "train/run.h"

#include <chrono>
#include <numbers>
#include <optional>

#include "record/event_file.h"
#include "record/journal.h"
#include "record/provenance.h"
#include "record/run_file.h"
#include "train/checkpoint.h"
#include "train/initial_weights.h"
#include "train/stop_signal.h"
#include "train/trainer.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// One run in progress: the trainer, its journal, and the record that becomes run.h5.
class Run {
 public:
  Run(const RunJob& job, const Dataset& dataset, int threads, const ProgressSink& progress)
      : job_(job),
        dataset_(dataset),
        progress_(progress),
        resident_before_(resident_bytes()),
        threads_(threads),
        provenance_(collect_provenance(threads, job.config.run.backend, job.command)),
        trainer_(job.config, dataset, backend_named(job.config.run.backend), threads, job.first_sample),
        journal_(open_journal()) {
    journal_.append(JournalBegin{job.name, job.identity, trainer_.steps_done(), trainer_.total_steps(),
                                 trainer_.total_steps() * tokens_per_step(), seconds_now()});
    first_step_ = trainer_.steps_done();
    if (job.config.run.tensorboard)
      events_ =
          EventFile::create(job.directory / kEventFolderName, read_journal(job.directory / kJournalFileName));
  }

  RunState execute() {
    try {
      const RunState state = train();
      if (state == RunState::done) finish();
      end(state, "");
      return state;
    } catch (const UserError& error) {
      end(RunState::failed, error.what());
      throw;
    }
  }

 private:
  int64 tokens_per_step() const { return trainer_.plan().shape.sequences * trainer_.plan().shape.length; }
  fs::path checkpoints() const { return job_.directory / "checkpoints"; }
  CheckpointInfo info() const {
    return {trainer_.steps_done(), job_.identity, canonical(job_.config), dataset_.vocabulary()};
  }

  Journal open_journal();
  RunState train();
  void report_progress(const StepResult& step, double step_seconds);
  void evaluate();
  void save_checkpoint();
  void finish();
  void end(RunState state, const std::string& error);
  RunRecord record(RunState state, const std::string& error) const;

  const RunJob& job_;
  const Dataset& dataset_;
  const ProgressSink& progress_;
  int64 resident_before_;
  int threads_;
  Provenance provenance_;
  Trainer trainer_;
  Journal journal_;
  std::optional<EventFile> events_;
  int64 first_step_ = 0;
  double evaluation_seconds_ = 0;
  Clock::time_point start_ = Clock::now();
  RunProgress now_;
  std::optional<Clock::time_point> reported_;
};

Journal Run::open_journal() {
  fs::create_directories(checkpoints());
  const fs::path path = job_.directory / kJournalFileName;
  if (const auto latest = latest_checkpoint(checkpoints())) {
    const CheckpointInfo from =
        read_checkpoint(*latest, trainer_.decoder().layout(), trainer_.state(), job_.identity);
    trainer_.resume_at(from.step);
    return Journal::resume(path, from.step);
  }
  if (job_.config.init.from.empty()) {
    trainer_.initialise_weights();
  } else {
    load_initial_weights(job_.config, trainer_.decoder(), trainer_.state().weights(),
                         {dataset_, job_.first_sample, backend_named(job_.config.run.backend), threads_});
    trainer_.resume_at(0);
  }
  return Journal::create(path);
}

RunState Run::train() {
  const TrainConfig& train = job_.config.train;
  while (trainer_.steps_done() < trainer_.total_steps()) {
    if (stop_requested()) {
      save_checkpoint();
      return RunState::interrupted;
    }
    const Clock::time_point begin = Clock::now();
    const StepResult step = trainer_.step();
    report_progress(step, seconds_since(begin));
    const bool last = step.step == trainer_.total_steps();
    if (!last && train.evaluate_every > 0 && step.step % train.evaluate_every == 0) evaluate();
    if (!last && train.checkpoint_every > 0 && step.step % train.checkpoint_every == 0) save_checkpoint();
  }
  return RunState::done;
}

void Run::report_progress(const StepResult& step, double step_seconds) {
  const double rate = static_cast<double>(tokens_per_step()) / step_seconds;
  const double flops = rate * trainer_.plan().train_flops_per_token();
  const JournalStep line{
      step.step,    step.step * tokens_per_step(), step.loss, step.lr, step.grad_norm, rate, flops,
      seconds_now()};
  journal_.append(line);
  if (events_) events_->append(line);
  const bool last = step.step == trainer_.total_steps();
  const double per_step = seconds_since(start_) / static_cast<double>(step.step - first_step_);
  now_ = {step.step,
          trainer_.total_steps(),
          step.loss,
          rate,
          flops,
          resident_bytes(),
          per_step * static_cast<double>(trainer_.total_steps() - step.step)};
  if (reported_ && !last && seconds_since(*reported_) < 0.2) return;
  reported_ = Clock::now();
  progress_(now_);
}

void Run::evaluate() {
  RunProgress now = now_;
  now.step = trainer_.steps_done();
  now.total_steps = trainer_.total_steps();
  now.evaluating = true;
  progress_(now);
  const Clock::time_point begin = Clock::now();
  const EvaluationResult result = trainer_.evaluate();
  evaluation_seconds_ += seconds_since(begin);
  Evaluation evaluation{trainer_.steps_done(), result.loss, std::nullopt};
  if (const int64 bytes = dataset_.held_out_bytes(); bytes > 0)
    evaluation.bits_per_byte = result.loss / std::numbers::ln2 *
                               static_cast<double>(dataset_.held_out_tokens()) / static_cast<double>(bytes);
  journal_.append(evaluation);
  if (events_) events_->append(evaluation, seconds_now());
}

void Run::save_checkpoint() {
  journal_.sync();
  write_checkpoint(checkpoint_path(checkpoints(), trainer_.steps_done()), trainer_.decoder().layout(),
                   trainer_.state(), info());
  prune_checkpoints(checkpoints(), job_.config.train.keep_checkpoints);
}

void Run::finish() {
  evaluate();
  write_model(job_.directory / kModelFileName, trainer_.decoder().layout(), trainer_.state().weights(),
              info());
}

void Run::end(RunState state, const std::string& error) {
  journal_.append(JournalEnd{state, error, seconds_now()});
  journal_.sync();
  write_run_file(job_.directory / kRunFileName, record(state, error));
}

RunRecord Run::record(RunState state, const std::string& error) const {
  const TrainingPlan& plan = trainer_.plan();
  const JournalContents journal = read_journal(job_.directory / kJournalFileName);
  RunRecord record;
  record.name = job_.name;
  record.identity = job_.identity;
  record.state = state;
  record.role = job_.role;
  record.error = error;
  record.config = job_.config_text;
  // A run of a study says where its baseline lies within the study, whose directory may move.
  Config config = job_.config;
  if (!job_.lineage.checkpoint.empty()) config.init.from = job_.lineage.checkpoint;
  for (const ResolvedValue& value : resolved_values(config, job_.sources))
    record.attributes.push_back({value.path,
                                 std::visit([](const auto& v) -> AttributeValue { return v; }, value.value),
                                 value.unit, value.source});
  record.attributes.push_back({"numerics", job_.numerics, "", "program"});
  record.provenance = provenance_;
  record.provenance.finished = utc_now();
  record.seed = job_.seed;
  record.corpus = {describe(dataset_), dataset_.fingerprint()};
  record.lineage = job_.lineage;
  record.lineage.q_heads = trainer_.decoder().shape().q_heads;
  record.lineage.kv_heads = trainer_.decoder().shape().uniform_kv_heads();
  record.counts = {plan.parameters, trainer_.steps_done() * tokens_per_step(), plan.train_flops_per_token(),
                   trainer_.decoder().shape().kv_bytes_per_token(size_of(plan.precision.compute))};
  record.series = journal.series;
  record.evaluations = journal.evaluations;
  record.memory = {plan.predicted_bytes(), std::max<int64>(0, peak_resident_bytes() - resident_before_),
                   plan.scratch_bytes};
  // Steps of earlier sittings are in the journal with their speed; evaluations are timed in this one alone.
  for (const double rate : journal.series.tokens_per_second)
    record.seconds += static_cast<double>(tokens_per_step()) / rate;
  record.seconds += evaluation_seconds_;
  return record;
}

}  // namespace

RunState execute_run(const RunJob& job, const Dataset& dataset, int threads, const ProgressSink& progress) {
  return Run(job, dataset, threads, progress).execute();
}

}  // namespace fovea
