#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "config/load.h"
#include "core/file.h"
#include "helpers.h"
#include "record/run_file.h"
#include "train/checkpoint.h"

extern char** environ;

namespace fovea {

inline constexpr int kKilled = -1;

// The run in another process.
class Child {
 public:
  Child(const SmallRun& run, const std::filesystem::path& directory, int threads, int stop_after) {
    const std::filesystem::path config = run.folder / "config.toml";
    std::ofstream(config) << toml_text(run.config);
    std::string words[] = {FOVEA_TRAIN_CHILD, config.string(), directory.string(), std::to_string(threads),
                           std::to_string(stop_after)};
    char* arguments[] = {words[0].data(), words[1].data(), words[2].data(),
                         words[3].data(), words[4].data(), nullptr};
    FOVEA_CHECK(::posix_spawn(&pid_, words[0].c_str(), nullptr, nullptr, arguments, environ) == 0,
                "no child");
  }
  Child(const Child&) = delete;
  ~Child() { wait(); }
  void kill() { ::kill(pid_, SIGKILL); }
  /// Its exit status, or kKilled.
  int wait() {
    if (pid_ > 0) {
      int status = 0;
      ::waitpid(pid_, &status, 0);
      pid_ = 0;
      result_ = WIFEXITED(status) ? WEXITSTATUS(status) : kKilled;
    }
    return result_;
  }

 private:
  pid_t pid_ = 0;
  int result_ = 0;
};

inline constexpr int kDone = static_cast<int>(ExitCode::done),
                     kInterrupted = static_cast<int>(ExitCode::interrupted);

// All that a reader of results would see, but for times.
struct Outcome {
  std::string model;
  std::vector<double> losses, norms, evaluations;
  std::vector<int64> steps, evaluated_at;
};
inline Outcome outcome_of(const std::filesystem::path& directory) {
  const RunRecord record = read_run_file(directory / kRunFileName);
  EXPECT_EQ(record.state, RunState::done);
  Outcome outcome{read_file(directory / kModelFileName),
                  record.series.train_loss,
                  record.series.grad_norm,
                  {},
                  record.series.step,
                  {}};
  for (const Evaluation& evaluation : record.evaluations) {
    outcome.evaluations.push_back(evaluation.loss);
    outcome.evaluated_at.push_back(evaluation.step);
  }
  return outcome;
}

inline void expect_equal(const Outcome& actual, const Outcome& expected) {
  EXPECT_EQ(actual.steps, expected.steps);
  EXPECT_EQ(actual.losses, expected.losses);
  EXPECT_EQ(actual.norms, expected.norms);
  EXPECT_EQ(actual.evaluated_at, expected.evaluated_at);
  EXPECT_EQ(actual.evaluations, expected.evaluations);
  EXPECT_TRUE(actual.model == expected.model) << "another model";
}

class Runs : public testing::Test {
 protected:
  Runs() {
    run.config.train.evaluate_every = 4;
    run.config.model.dropout = 0.1;
    run.config.train.batch = 5;  // no multiple of the grain
    run.config.train.tokens = 10 * 5 * 16;
  }
  RunState execute(const std::filesystem::path& directory, int threads = 1) {
    const Dataset dataset = run.dataset();
    return execute_run(job_of(run.config, directory), dataset, threads,
                       [this](const RunProgress& now) { progress.push_back(now); });
  }
  Outcome calm() {
    EXPECT_EQ(execute(run.folder / "calm"), RunState::done);
    return outcome_of(run.folder / "calm");
  }

  SmallRun run;
  std::vector<RunProgress> progress;
};

}  // namespace fovea
