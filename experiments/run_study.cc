#include "experiments/run_study.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <map>
#include <optional>
#include <thread>

#include "core/file.h"
#include "core/terminal.h"
#include "experiments/identity.h"
#include "experiments/initial_model.h"
#include "experiments/numerics.h"
#include "experiments/progress_line.h"
#include "experiments/study_lock.h"
#include "kernels/simd/instruction_set.h"
#include "model/families.h"
#include "record/run_file.h"
#include "record/study_index.h"
#include "train/checkpoint.h"
#include "train/run.h"
#include "train/stop_signal.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

// Why a run failed, in its directory: how a child tells its parent.
constexpr const char* kErrorFileName = "error.txt";

void make_directory(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail_to_write(path, error.value());
}

// A line that must be seen, whatever else is shown.
void warn(const std::string& line) {
  std::fflush(stdout);
  if (output_is_terminal()) clear_line();
  fmt::print(stderr, "fovea: {}\n", line);
}

class Scheduler {
 public:
  Scheduler(const StudyPlan& plan, const StudyOptions& options) : plan_(plan), options_(options) {}
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;
  ~Scheduler() { stop_children(); }
  ExitCode run();

 private:
  struct Node {
    const PlannedRun* planned;
    StudyRun entry;
  };

  void open_datasets();
  const Dataset& dataset_of(const PlannedRun& run) { return datasets_.at(canonical_data(run.config)); }
  static std::string canonical_data(const Config& config);
  void make_nodes();
  std::optional<std::string> finished(const Node& node) const;
  Node* find(const std::string& name);
  Node* next_ready();
  void start(Node& node);
  void wait_for_one();
  void tell_children_to_stop();
  void stop_children();
  void finish(Node& node, int status);
  void fail_dependents();
  void write_index() const;
  void update_index();
  void say(const Node& node, const std::string& text) const;
  ExitCode conclude();
  int64 count(RunState state) const;
  RunJob job_of(const Node& node);
  ExitCode execute(const Node& node);
  int run_in_child(const Node& node);

  const StudyPlan& plan_;
  const StudyOptions& options_;
  std::map<std::string, Dataset> datasets_;
  std::vector<Node> nodes_;
  std::map<pid_t, size_t> children_;
  int64 reused_ = 0;
  bool told_to_stop_ = false;
  bool halted_ = false;  // a run was interrupted by itself: no other is started
  bool index_is_old_ = false;
};

std::string Scheduler::canonical_data(const Config& config) {
  return fmt::format("{}|{}|{}|{}|{}|{}|{}|{}", config.data.corpus, config.data.tokenizer, config.data.cache,
                     config.data.documents, config.data.held_out_every, config.data.block_bytes,
                     config.data.vocab, config.train.sequence ? config.train.sequence : config.model.context);
}

void Scheduler::open_datasets() {
  for (const PlannedRun& run : plan_.runs) {
    const std::string key = canonical_data(run.config);
    if (datasets_.contains(key)) continue;
    const int64 length = run.config.train.sequence ? run.config.train.sequence : run.config.model.context;
    datasets_.emplace(key, open_dataset(run.config.data, length));
    if (!options_.quiet) fmt::print("{}\n", describe(datasets_.at(key)));
  }
  // A model that has fewer tokens than its data is refused before any run.
  for (const PlannedRun& run : plan_.runs) decoder_shape(run.config.model, dataset_of(run).vocabulary());
}

void Scheduler::make_nodes() {
  std::map<std::string, std::string> identities, weights;  // weights: of each init.from, read once
  for (const PlannedRun& run : plan_.runs) {
    std::string baseline = run.baseline.empty() ? "" : identities.at(run.baseline);
    if (const std::string& from = run.config.init.from; baseline.empty() && !from.empty()) {
      if (!weights.contains(from)) weights[from] = hash_of_initial_weights(from);
      baseline = weights[from];
    }
    const RunIdentity identity = identify(run, dataset_of(run), baseline);
    Node node{&run, {}};
    node.entry.name = run.name;
    node.entry.identity = identity.full;
    node.entry.role = run.role;
    // A baseline's numerics are in its identity and so in the inputs of what starts from it.
    node.entry.directory = fmt::format("{}-{}", run.name, identity.inputs.substr(0, 8));
    if (!run.baseline.empty()) node.entry.depends_on = {run.baseline};
    if (const std::optional<std::string> kept = finished(node)) {
      node.entry.state = RunState::done;
      node.entry.identity = *kept;
      ++reused_;
    }
    identities[run.name] = node.entry.identity;
    nodes_.push_back(std::move(node));
  }
}

// A damaged result is the user's to remove: it may have been the work of hours.
RunRecord read_result(const fs::path& file) {
  try {
    return read_run_file(file);
  } catch (const UserError& error) {
    throw UserError(error.code(),
                    fmt::format("{}; remove {} to run it anew", error.what(), file.parent_path().string()));
  }
}

// The identity of the result that is there already, an older numerics' where it is to be kept.
std::optional<std::string> Scheduler::finished(const Node& node) const {
  const fs::path file = options_.directory / node.entry.directory / kRunFileName;
  if (!fs::exists(file)) return std::nullopt;
  const RunRecord record = read_result(file);
  const bool wanted = record.identity == node.entry.identity || options_.stale == Stale::keep;
  return record.state == RunState::done && wanted ? std::optional(record.identity) : std::nullopt;
}

Scheduler::Node* Scheduler::find(const std::string& name) {
  const auto found =
      std::find_if(nodes_.begin(), nodes_.end(), [&](const Node& node) { return node.entry.name == name; });
  FOVEA_CHECK(found != nodes_.end(), "run {} is not in the plan", name);
  return &*found;
}

Scheduler::Node* Scheduler::next_ready() {
  for (Node& node : nodes_) {
    if (node.entry.state != RunState::waiting) continue;
    const bool ready =
        std::all_of(node.entry.depends_on.begin(), node.entry.depends_on.end(),
                    [&](const auto& name) { return find(name)->entry.state == RunState::done; });
    if (ready) return &node;
  }
  return nullptr;
}

void Scheduler::write_index() const {
  StudyIndex index{plan_.name, plan_.kind, plan_.config_text, {}, plan_.claims};
  for (const Node& node : nodes_) index.runs.push_back(node.entry);
  write_study_index(options_.directory, index);
}

// In the middle of a study its index is only looked at: a disk that does not take it stops no run.
void Scheduler::update_index() {
  try {
    write_index();
    index_is_old_ = false;
  } catch (const UserError& error) {
    if (!index_is_old_) warn(fmt::format("{}; the runs go on", error.what()));
    index_is_old_ = true;
  }
}

void Scheduler::say(const Node& node, const std::string& text) const {
  if (options_.quiet) return;
  if (output_is_terminal()) clear_line();
  const auto number = 1 + (&node - nodes_.data());
  fmt::print("[{}/{}] {}  {}\n", number, nodes_.size(), node.entry.name, text);
  std::fflush(stdout);
}

RunJob Scheduler::job_of(const Node& node) {
  const PlannedRun& run = *node.planned;
  RunJob job;
  job.name = run.name;
  job.identity = node.entry.identity;
  job.role = run.role;
  job.config = run.config;
  job.sources = run.sources;
  job.config_text = plan_.config_text;
  job.seed = run.seed;
  job.first_sample = run.first_sample;
  job.numerics = numerics_of(run.config.train.precision);
  job.directory = options_.directory / node.entry.directory;
  job.command = options_.command;
  job.resume = options_.resume;
  job.lineage.conversion = run.config.init.conversion;
  job.lineage.alpha = run.alpha;
  if (!run.baseline.empty()) {
    job.sources["init.from"] = "study " + plan_.kind;
    const Node& baseline = *find(run.baseline);
    job.lineage.baseline = baseline.entry.identity;
    job.lineage.checkpoint = (fs::path(baseline.entry.directory) / kModelFileName).string();
    job.config.init.from = (options_.directory / baseline.entry.directory / kModelFileName).string();
  }
  return job;
}

ExitCode Scheduler::execute(const Node& node) {
  const int64 all =
      options_.threads ? options_.threads : static_cast<int64>(std::thread::hardware_concurrency());
  const int64 threads = std::max<int64>(1, all / options_.jobs);
  const auto number = 1 + (&node - nodes_.data());
  ProgressPrinter printer(fmt::format("[{}/{}] {}", number, nodes_.size(), node.entry.name),
                          output_is_terminal() && options_.jobs == 1);
  const RunState state =
      execute_run(job_of(node), dataset_of(*node.planned), static_cast<int>(threads),
                  options_.quiet ? ProgressSink([](const RunProgress&) {}) : ProgressSink(printer),
                  [&](const std::string& line) { warn(node.entry.name + ": " + line); });
  return state == RunState::done ? ExitCode::done : ExitCode::interrupted;
}

// What a child does; returns its exit code. No exception may leave it: it would go on as a second scheduler.
int Scheduler::run_in_child(const Node& node) {
  ExitCode code = ExitCode::failed;
  std::string reason;
  try {
    return static_cast<int>(execute(node));
  } catch (const UserError& error) {
    reason = error.what();
    code = error.code();
    if (code == ExitCode::interrupted) warn(node.entry.name + ": " + reason);
  } catch (const std::bad_alloc&) {
    reason = "it takes more memory than there is: see fovea explain";
  } catch (const std::exception& error) {
    reason = error.what();
  }
  // The run's record says it too, but a run may fail before it has one.
  try {
    write_file_atomically(options_.directory / node.entry.directory / kErrorFileName, reason + "\n");
  } catch (const UserError& error) {
    fmt::print(stderr, "fovea: {}: {}\n", node.entry.name, reason);
  }
  return static_cast<int>(code);
}

void Scheduler::start(Node& node) {
  const fs::path directory = options_.directory / node.entry.directory;
  make_directory(directory);
  // Another numerics' leftovers under the same configuration are not resumed.
  if (fs::exists(directory / kRunFileName) &&
      read_run_file(directory / kRunFileName).identity != node.entry.identity) {
    fs::remove_all(directory);
    make_directory(directory);
  }
  std::error_code none;
  fs::remove(directory / kErrorFileName, none);
  node.entry.state = RunState::running;
  node.entry.error.clear();
  update_index();
  std::fflush(stdout);
  const pid_t study = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) fail_run("no process can be started for run {}", node.entry.name);
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // a killed study leaves no run behind that nobody waits for
    if (::getppid() != study) ::_exit(static_cast<int>(ExitCode::interrupted));  // it was killed before that
    const int code = run_in_child(node);
    std::fflush(stdout);
    ::_exit(code);
  }
  children_[child] = static_cast<size_t>(&node - nodes_.data());
}

void Scheduler::finish(Node& node, int status) {
  const fs::path directory = options_.directory / node.entry.directory;
  if (WIFEXITED(status) && WEXITSTATUS(status) == static_cast<int>(ExitCode::done)) {
    node.entry.state = RunState::done;
    const RunRecord record = read_run_file(directory / kRunFileName);
    const Evaluation& last = final_evaluation(record);
    const std::string bits = last.bits_per_byte ? fmt::format(", {:.4f} bit/byte", *last.bits_per_byte) : "";
    say(node, fmt::format("{}  held-out {:.4f} nat/token{}  {}", styled("32", "done"), last.loss, bits,
                          duration_text(record.seconds)));
  } else if (WIFEXITED(status) && WEXITSTATUS(status) == static_cast<int>(ExitCode::interrupted)) {
    node.entry.state = RunState::interrupted;
    halted_ = true;
    say(node, styled("33", "interrupted; the same command goes on"));
  } else {
    node.entry.state = RunState::failed;
    node.entry.error = WIFSIGNALED(status)
                           ? fmt::format("its process was ended by signal {}", WTERMSIG(status))
                           : fmt::format("its process ended with {}", WEXITSTATUS(status));
    if (fs::exists(directory / kErrorFileName)) {
      node.entry.error = read_file(directory / kErrorFileName);
      while (!node.entry.error.empty() && node.entry.error.back() == '\n') node.entry.error.pop_back();
    }
    say(node, styled("31", "failed: " + node.entry.error));
  }
  update_index();
}

void Scheduler::tell_children_to_stop() {
  told_to_stop_ = true;
  for (const auto& [pid, node] : children_) ::kill(pid, SIGTERM);
}

void Scheduler::stop_children() {
  tell_children_to_stop();
  for (const auto& [pid, node] : children_) ::waitpid(pid, nullptr, 0);
}

// Asks again and again rather than sleep until a child ends: a signal just before the sleep would be missed.
void Scheduler::wait_for_one() {
  int status = 0;
  const pid_t child = ::waitpid(-1, &status, WNOHANG);
  if (child <= 0) {
    if (stop_requested() && !told_to_stop_) tell_children_to_stop();
    ::usleep(5000);
    return;
  }
  const auto found = children_.find(child);
  if (found == children_.end()) return;
  Node& node = nodes_[found->second];
  children_.erase(found);
  finish(node, status);
}

void Scheduler::fail_dependents() {
  for (Node& node : nodes_) {
    if (node.entry.state != RunState::waiting) continue;
    for (const std::string& name : node.entry.depends_on)
      if (find(name)->entry.state == RunState::failed) {
        node.entry.state = RunState::failed;
        node.entry.error = fmt::format("{}, which it starts from, failed", name);
        say(node, styled("31", "failed: " + node.entry.error));
      }
  }
}

int64 Scheduler::count(RunState state) const {
  return std::count_if(nodes_.begin(), nodes_.end(),
                       [&](const Node& node) { return node.entry.state == state; });
}

// Says how it ended, and what to do next.
ExitCode Scheduler::conclude() {
  const std::string directory = options_.directory.string();
  const int64 done = count(RunState::done), failed = count(RunState::failed);
  const auto all = static_cast<int64>(nodes_.size());
  if (done + failed < all) {
    if (!options_.quiet) fmt::print("stopped with {} of {} runs done; the same command goes on\n", done, all);
    return ExitCode::interrupted;
  }
  if (failed > 0) fail_run("{} of {} runs failed; fovea status {} says why", failed, all, directory);
  if (!options_.quiet && reused_ < all) fmt::print("fovea report {} draws the results\n", directory);
  return ExitCode::done;
}

ExitCode Scheduler::run() {
  open_datasets();
  make_directory(options_.directory);
  std::fflush(stdout);
  catch_stop_signals();
  const StudyLock lock(options_.directory, warn);
  remove_abandoned_temporaries(options_.directory);
  make_nodes();
  write_index();
  if (!options_.quiet && reused_ > 0)
    fmt::print("{} of {} runs were finished already: not repeated\n", reused_, nodes_.size());
  std::fflush(stdout);
  while (true) {
    fail_dependents();
    while (!stop_requested() && !halted_ && static_cast<int64>(children_.size()) < options_.jobs) {
      Node* node = next_ready();
      if (!node) break;
      start(*node);
    }
    if (children_.empty()) break;
    wait_for_one();
  }
  write_index();
  return conclude();
}

}  // namespace

ExitCode run_study(const StudyPlan& plan, const StudyOptions& options) {
  // What the machine lacks is said before anything is begun.
  for (const PlannedRun& run : plan.runs) {
    instruction_set_named(run.config.run.instruction_set);
    if (device_of(backend_named(run.config.run.backend)) == Device::cuda) require_device();
  }
  return Scheduler(plan, options).run();
}

}  // namespace fovea
