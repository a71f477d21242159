#include "train/run.h"

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <numbers>
#include <optional>
#include <thread>

#include "convert/hugging_face.h"
#include "convert/hugging_face_export.h"
#include "core/file.h"
#include "core/host_copy.h"
#include "kernels/matmul/library.h"
#include "kernels/peak/peak.h"
#include "kernels/peak/product.h"
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

// What a study's process has freed but keeps would be taken again by the run, and hide what it needs.
int64 resident_without_free_memory() {
  ::malloc_trim(0);
  return resident_bytes();
}

// What the profile of a run is held to.
struct MachineLimits {
  double f32_flops = 0, bf16_flops = 0, read_bandwidth = 0;
};
MachineLimits measured_limits(Backend backend, int threads) {
  if (device_of(backend) == Device::cuda) {
    const MachineLimits limits{measured_device_product_flops(DType::f32),
                               measured_device_product_flops(DType::bf16), measured_device_bandwidth()};
    device::reset_peak_bytes();
    return limits;
  }
  const MachineLimits limits{measured_peak_flops(DType::f32, threads),
                             measured_peak_flops(DType::bf16, threads), measured_read_bandwidth(threads)};
  reset_peak_resident_bytes();  // of the memory that was read
  return limits;
}

// One run in progress: the trainer, its journal, and the record that becomes run.h5.
class Run {
 public:
  Run(const RunJob& job, const Dataset& dataset, int threads, const ProgressSink& progress,
      const NoticeSink& notice)
      : job_(job),
        dataset_(dataset),
        progress_(progress),
        notice_(notice),
        limits_(job.config.run.profile ? measured_limits(backend_named(job.config.run.backend), threads)
                                       : MachineLimits()),
        resident_before_(resident_without_free_memory()),
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

  RunState execute();

 private:
  int64 tokens_per_step() const { return trainer_.plan().shape.sequences * trainer_.plan().shape.length; }
  fs::path checkpoints() const { return job_.directory / "checkpoints"; }
  CheckpointInfo info() const {
    return {trainer_.steps_done(), job_.identity, canonical(job_.config), trainer_.decoder().shape().vocab};
  }
  void notice(const std::string& line) const {
    if (notice_) notice_(line);
  }

  Journal open_journal();
  void remember_origin();
  bool restore();
  void pass_over(const std::vector<fs::path>& refused, const std::string& why) const;
  RunState train();
  bool rest_of_step();
  void report_progress(const StepResult& step, double step_seconds);
  void show(FunctionRef<void(EventFile&)> append);
  bool evaluate();
  void save_checkpoint();
  bool write(FunctionRef<void()> attempt, const std::string& otherwise);
  bool write_at_last(FunctionRef<void()> attempt);
  bool finish();
  void export_model();
  void write_record(RunState state, const std::string& error);
  int64 memory_taken() const;
  RunRecord record(RunState state, const std::string& error) const;
  StepProfile profile() const;

  const RunJob& job_;
  const Dataset& dataset_;
  const ProgressSink& progress_;
  const NoticeSink& notice_;
  MachineLimits limits_;
  int64 resident_before_;
  int threads_;
  Provenance provenance_;
  Trainer trainer_;
  int64 saved_step_ = 0;      // of the last checkpoint
  int64 evaluated_step_ = 0;  // of the last evaluation in the journal
  bool refused_ = false;      // the last write
  std::optional<RunState> ended_;
  std::optional<StoredModel> origin_;  // the Hugging Face folder that it began with, its files closed
  Journal journal_;
  std::optional<EventFile> events_;
  int64 first_step_ = 0, skipped_ = 0;
  double evaluation_seconds_ = 0;
  Clock::time_point start_ = Clock::now();
  RunProgress now_;
  std::optional<Clock::time_point> reported_;
};

// Steps that were slow because a machine did something else are no part of it, nor is the first, which warms
// up.
double median_step_seconds(const StepSeries& series, int64 tokens_per_step) {
  if (series.size() < 2) return 0;
  std::vector<double> rates(series.tokens_per_second.begin() + 1, series.tokens_per_second.end());
  const auto middle = rates.begin() + static_cast<std::ptrdiff_t>(rates.size() / 2);
  std::nth_element(rates.begin(), middle, rates.end());
  return static_cast<double>(tokens_per_step) / *middle;
}

RunState Run::execute() {
  try {
    RunState state = train();
    if (state == RunState::done && finish()) return state;
    // The journal may wait for the disk too: then nothing more can be left than what is there.
    write([&] { write_record(RunState::interrupted, ""); }, "the record of this interruption is not kept");
    return RunState::interrupted;
  } catch (const UserError& error) {
    const RunState state = error.code() == ExitCode::interrupted ? RunState::interrupted : RunState::failed;
    write([&] { write_record(state, error.what()); }, "the record of this failure is not kept");
    throw;
  }
}

// Days may pass until the end: the folder is not asked again.
void Run::remember_origin() {
  if (!is_hugging_face_model(job_.config.init.from)) return;
  origin_ = open_hugging_face(job_.config.init.from);
  const DType dtype = origin_->parameters.dtype(0);
  origin_->parameters = {[dtype](ParameterId) { return dtype; }, {}};
}

Journal Run::open_journal() {
  remember_origin();
  std::error_code error;
  fs::create_directories(checkpoints(), error);
  if (error) fail_to_write(checkpoints(), error.value());
  remove_abandoned_temporaries(job_.directory);
  remove_abandoned_temporaries(checkpoints());
  const fs::path path = job_.directory / kJournalFileName;
  if (restore()) {
    Journal journal = Journal::resume(path, trainer_.steps_done());
    const JournalContents contents = read_journal(path);
    if (!contents.evaluations.empty()) evaluated_step_ = contents.evaluations.back().step;
    const StepSeries& series = contents.series;
    for (size_t i = 0; i < series.size(); ++i)
      trainer_.recall(series.train_loss[i],
                      std::binary_search(series.skipped.begin(), series.skipped.end(), series.step[i]));
    return journal;
  }
  if (job_.config.init.from.empty()) {
    trainer_.initialise_weights();
  } else {
    const Backend backend = backend_named(job_.config.run.backend);
    const HostCopy weights(trainer_.state().weights(), HostCopy::Fetch::never);
    load_initial_weights(
        job_.config, trainer_.decoder(), weights,
        {dataset_, job_.first_sample, device_of(backend) == Device::cpu ? backend : Backend::cpu, threads_});
    weights.store();
    ::malloc_trim(0);  // of what the conversion held, before the first step takes its own
    trainer_.resume_at(0);
  }
  return Journal::create(path);
}

// Goes on from a checkpoint; false where there is none.
bool Run::restore() {
  const std::vector<fs::path> all = checkpoints_in(checkpoints());
  std::vector<fs::path> refused;
  std::string why;
  for (const fs::path& path : all) {
    try {
      trainer_.resume_at(read_checkpoint(path, trainer_.decoder().layout(), trainer_.state(), info()).step);
      saved_step_ = trainer_.steps_done();
      pass_over(refused, why);
      return true;
    } catch (const UserError& error) {
      if (error.code() != ExitCode::input) throw;
      if (job_.resume == ResumeFrom::latest)
        fail_input("{}; {}remove {} to start the run anew", error.what(),
                   all.size() > 1 ? "--resume intact goes on from the latest one that is whole, or " : "",
                   job_.directory.string());
      why += (why.empty() ? "" : "; ") + std::string(error.what());
      refused.push_back(path);
    }
  }
  if (!refused.empty())
    fail_input("{}; no checkpoint is left to go on from: remove {} to start the run anew", why,
               job_.directory.string());
  return false;
}

// Keeps what was refused, under another name: a later resume must not meet it as the latest.
void Run::pass_over(const std::vector<fs::path>& refused, const std::string& why) const {
  if (refused.empty()) return;
  for (const fs::path& path : refused) rename_durably(path, path.string() + ".refused");
  notice(fmt::format("{}; kept as *.refused, and what came after step {} is computed again", why,
                     trainer_.steps_done()));
}

RunState Run::train() {
  while (rest_of_step()) {
    if (trainer_.steps_done() == trainer_.total_steps()) return RunState::done;
    const Clock::time_point begin = Clock::now();
    const StepResult step = trainer_.step();
    report_progress(step, seconds_since(begin));
  }
  save_checkpoint();
  return RunState::interrupted;
}

// What is due after a step; after a resume, what was not done of it. False where a stop is asked for.
bool Run::rest_of_step() {
  const int64 step = trainer_.steps_done();
  const auto due = [&](int64 every, int64 last) {
    return step > 0 && step < trainer_.total_steps() && every > 0 && step % every == 0 && last != step;
  };
  if (due(job_.config.train.evaluate_every, evaluated_step_) && !evaluate()) return false;
  if (due(job_.config.train.checkpoint_every, saved_step_)) save_checkpoint();
  return !stop_requested();
}

// TensorBoard's file repeats the journal: where it cannot be written the run does without.
void Run::show(FunctionRef<void(EventFile&)> append) {
  if (!events_) return;
  try {
    append(*events_);
  } catch (const UserError& error) {
    notice(fmt::format("step {}: {}; it ends here, and is made anew at the next start", trainer_.steps_done(),
                       error.what()));
    events_.reset();
  }
}

void Run::report_progress(const StepResult& step, double step_seconds) {
  const double rate = static_cast<double>(tokens_per_step()) / step_seconds;
  const double flops = rate * trainer_.plan().train_flops_per_token();
  const JournalStep line{step.step,      step.step * tokens_per_step(),
                         step.loss,      step.lr,
                         step.grad_norm, rate,
                         flops,          seconds_now(),
                         step.skipped};
  skipped_ += step.skipped ? 1 : 0;
  const bool waited = !journal_.waits_for().empty();
  journal_.append(line);
  if (!waited && !journal_.waits_for().empty())
    notice(fmt::format(
        "step {}: {}; training goes on, and the journal is kept in memory until it can be written", step.step,
        journal_.waits_for()));
  show([&](EventFile& events) { events.append(line); });
  const bool last = step.step == trainer_.total_steps();
  const double per_step = seconds_since(start_) / static_cast<double>(step.step - first_step_);
  now_ = {step.step,
          trainer_.total_steps(),
          step.loss,
          rate,
          flops,
          resident_bytes(),
          per_step * static_cast<double>(trainer_.total_steps() - step.step),
          false,
          skipped_};
  if (reported_ && !last && seconds_since(*reported_) < 0.2) return;
  reported_ = Clock::now();
  progress_(now_);
}

// False where a stop is asked for: then it is repeated after the resume.
bool Run::evaluate() {
  RunProgress now = now_;
  now.step = trainer_.steps_done();
  now.total_steps = trainer_.total_steps();
  now.evaluating = true;
  progress_(now);
  const Clock::time_point begin = Clock::now();
  const std::optional<EvaluationResult> result = trainer_.evaluate_unless([] { return stop_requested(); });
  evaluation_seconds_ += seconds_since(begin);
  if (!result) return false;
  Evaluation evaluation{trainer_.steps_done(), result->loss, std::nullopt};
  if (const int64 bytes = dataset_.held_out_bytes(); bytes > 0)
    evaluation.bits_per_byte = result->loss / std::numbers::ln2 *
                               static_cast<double>(dataset_.held_out_tokens()) / static_cast<double>(bytes);
  journal_.append(evaluation);
  show([&](EventFile& events) { events.append(evaluation, seconds_now()); });
  evaluated_step_ = trainer_.steps_done();
  return true;
}

void Run::save_checkpoint() {
  const int64 step = trainer_.steps_done();
  if (step == saved_step_) return;
  const bool written = write(
      [&] {
        journal_.sync();
        write_checkpoint(checkpoint_path(checkpoints(), step), trainer_.decoder().layout(), trainer_.state(),
                         info());
      },
      stop_requested()
          ? fmt::format("what came after step {} is lost, and the same command computes it again",
                        saved_step_)
          : fmt::format("training goes on; the last checkpoint is that of step {}", saved_step_));
  if (!written) return;
  saved_step_ = step;
  prune_checkpoints(checkpoints(), job_.config.train.keep_checkpoints);
}

// Whether the disk took it; says so when it does not, and what happens instead, and when it does again.
bool Run::write(FunctionRef<void()> attempt, const std::string& otherwise) {
  try {
    attempt();
  } catch (const UserError& error) {
    notice(fmt::format("step {}: {}; {}", trainer_.steps_done(), error.what(), otherwise));
    refused_ = true;
    return false;
  }
  if (refused_) notice(fmt::format("step {}: the disk takes what is written again", trainer_.steps_done()));
  refused_ = false;
  return true;
}

// Results that the disk does not take are tried again for a while, and until a stop is asked for.
bool Run::write_at_last(FunctionRef<void()> attempt) {
  const Clock::time_point begin = Clock::now();
  const std::string otherwise = fmt::format("trying again for {:.0f} s", job_.patience_seconds);
  if (write(attempt, otherwise)) return true;
  while (!stop_requested() && seconds_since(begin) < job_.patience_seconds) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    try {
      attempt();
    } catch (const UserError&) {  // said already
      continue;
    }
    return write([] {}, "");
  }
  notice(fmt::format("the results cannot be written; the same command goes on from step {}", saved_step_));
  return false;
}

// The last evaluation and what the run leaves; false where that has to be done after a resume.
bool Run::finish() {
  if (!evaluate()) {
    save_checkpoint();
    return false;
  }
  return write_at_last([&] {
    write_model(job_.directory / kModelFileName, trainer_.decoder().layout(), trainer_.state().average(),
                info());
    if (origin_) export_model();
    write_record(RunState::done, "");
  });
}

// What came from a Hugging Face folder goes back into one, in the dtype that it had there.
void Run::export_model() {
  const HostCopy weights(trainer_.state().average());
  StoredModel model = *origin_;
  model.config = job_.config.model;
  model.vocabulary = trainer_.decoder().shape().vocab;
  model.layout = trainer_.decoder().layout();
  model.parameters.read = [&](ParameterId id, const View& to) {
    const View from = model.layout.view(weights, id);
    convert_elements(static_cast<const std::byte*>(from.data()), from.dtype(), to);
  };
  write_hugging_face(job_.directory / kExportFolderName, model,
                     {.existing = AtomicFolder::Existing::replace});
}

// The journal's end is written once, however often the record is tried.
void Run::write_record(RunState state, const std::string& error) {
  if (ended_ != state) journal_.append(JournalEnd{state, error, seconds_now()});
  ended_ = state;
  journal_.sync();
  write_run_file(job_.directory / kRunFileName, record(state, error));
}

// By the process, or of the device's memory where it runs there.
int64 Run::memory_taken() const {
  if (trainer_.device() == Device::cuda) return device::peak_bytes();
  return std::max<int64>(0, peak_resident_bytes() - resident_before_);
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
  record.provenance.used_instruction_set = name_of(instruction_set());
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
  record.memory = {plan.predicted_bytes(), memory_taken(), plan.scratch_bytes};
  // Steps of earlier sittings are in the journal with their speed; evaluations are timed in this one alone.
  for (const double rate : journal.series.tokens_per_second)
    record.seconds += static_cast<double>(tokens_per_step()) / rate;
  record.seconds += evaluation_seconds_;
  record.step_seconds = median_step_seconds(journal.series, tokens_per_step());
  if (job_.config.run.profile) record.profile = profile();
  return record;
}

StepProfile Run::profile() const {
  const Trainer::Profile& steps = trainer_.profile();
  StepProfile p{steps.steps,        steps.seconds,          limits_.f32_flops,
                limits_.bf16_flops, limits_.read_bandwidth, {}};
  for (const auto& [name, total] : steps.operations)
    p.operations.push_back({std::string(name), total.calls, total.seconds, total.flops, total.bytes,
                            std::string(name_of(total.dtype))});
  return p;
}

}  // namespace

RunState execute_run(const RunJob& job, const Dataset& dataset, int threads, const ProgressSink& progress,
                     const NoticeSink& notice) {
  const InstructionSet set = instruction_set_named(job.config.run.instruction_set);
  use_instruction_set(set);
  if (!limit_matrix_library(set) && notice)
    notice(fmt::format("matrix products do not keep to {}: their library was in use before", name_of(set)));
  return Run(job, dataset, threads, progress, notice).execute();
}

}  // namespace fovea
