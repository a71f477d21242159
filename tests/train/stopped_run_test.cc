// Runs that are stopped or killed, and started again: they come to the bits of a calm one.
#include <chrono>
#include <thread>

#include "record/journal.h"
#include "runs.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

// Stopped after any step, as often as there are steps, and resumed, each time on another number of threads.
TEST_F(Runs, StoppedAndResumedComeToTheSameBits) {
  const Outcome expected = calm();
  const fs::path directory = run.folder / "stopped";
  for (int step = 1; step < 10; ++step) {
    Child child(run, directory, 1 + step % 3, step);
    ASSERT_EQ(child.wait(), kInterrupted) << step;
    ASSERT_EQ(latest_checkpoint(directory / "checkpoints"), checkpoint_path(directory / "checkpoints", step));
    const RunRecord record = read_run_file(directory / kRunFileName);
    EXPECT_EQ(record.state, RunState::interrupted);
    EXPECT_EQ(record.series.size(), static_cast<size_t>(step));
    EXPECT_FALSE(fs::exists(directory / kModelFileName));
  }
  Child child(run, directory, 2, 0);
  ASSERT_EQ(child.wait(), kDone);
  expect_equal(outcome_of(directory), expected);
  EXPECT_EQ(read_journal(directory / kJournalFileName).begins.size(), 10u);
}

// Stopped once in the middle, and resumed within this process.
TEST_F(Runs, StoppedInTheMiddleAndResumedElsewhere) {
  const Outcome expected = calm();
  for (const int threads : {1, 3}) {
    const fs::path directory = run.folder / fmt::format("stopped{}", threads);
    Child child(run, directory, 2, 3);
    ASSERT_EQ(child.wait(), kInterrupted);
    EXPECT_EQ(read_run_file(directory / kRunFileName).series.size(), 3u);
    progress.clear();
    ASSERT_EQ(execute(directory, threads), RunState::done);
    EXPECT_EQ(progress.front().step, 4);
    expect_equal(outcome_of(directory), expected);
  }
}

// Killed without warning at moments that differ, wherever that is: in a step, a checkpoint, an evaluation.
TEST_F(Runs, KilledAndStartedAgainComeToTheSameBits) {
  run.config.train.checkpoint_every = 1;
  run.config.train.evaluate_every = 1;
  run.config.train.batch = 20;
  run.config.train.tokens = 40 * 20 * 16;
  const Outcome expected = calm();
  const fs::path directory = run.folder / "killed";
  int killed = 0;
  for (const int milliseconds : {5, 60, 90, 40, 130, 75, 110}) {
    Child child(run, directory, 2, 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    child.kill();
    killed += child.wait() == kKilled;
  }
  EXPECT_GE(killed, 2);
  Child child(run, directory, 1, 0);
  ASSERT_EQ(child.wait(), kDone);
  expect_equal(outcome_of(directory), expected);
  for (const auto& entry : fs::directory_iterator(directory / "checkpoints"))
    EXPECT_THAT(entry.path().filename().string(), testing::EndsWith(".safetensors"));
}

// At once, before a window is evaluated, on the way and at the end.
TEST_F(Runs, StoppedInAnEvaluationRepeatIt) {
  const Outcome expected = calm();
  const fs::path directory = run.folder / "stopped";
  for (const int step : {4, 8, 10}) {
    Child child(run, directory, 2, -step);
    ASSERT_EQ(child.wait(), kInterrupted) << step;
    ASSERT_EQ(latest_checkpoint(directory / "checkpoints"), checkpoint_path(directory / "checkpoints", step));
    const RunRecord record = read_run_file(directory / kRunFileName);
    EXPECT_EQ(record.series.size(), static_cast<size_t>(step));
    EXPECT_EQ(record.evaluations.size(), static_cast<size_t>(step - 1) / 4);
  }
  Child child(run, directory, 1, 0);
  ASSERT_EQ(child.wait(), kDone);
  expect_equal(outcome_of(directory), expected);
}

}  // namespace
}  // namespace fovea
