// Runs whose checkpoints are damaged, or whose disk takes nothing.
#include <chrono>
#include <thread>

#include "record/journal.h"
#include "runs.h"

namespace fovea {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

class DamagedCheckpoints : public Runs {
 protected:
  DamagedCheckpoints() {
    expected = calm();
    run.config.train.checkpoint_every = 1;
    Child child(run, directory, 1, 5);
    EXPECT_EQ(child.wait(), kInterrupted);
    last = checkpoint_path(directory / "checkpoints", 5);
    before = checkpoint_path(directory / "checkpoints", 4);
  }
  void damage(const fs::path& path) {
    std::string data = read_file(path);
    data[data.size() / 2] ^= 1;
    write_file_atomically(path, data);
  }
  RunState resume(ResumeFrom from) {
    RunJob job = job_of(run.config, directory);
    job.resume = from;
    const Dataset dataset = run.dataset();
    return execute_run(
        job, dataset, 1, [](const RunProgress&) {},
        [this](const std::string& line) { notices.push_back(line); });
  }

  Outcome expected;
  fs::path directory = run.folder / "damaged", last, before;
  std::vector<std::string> notices;
};

TEST_F(DamagedCheckpoints, AreRefusedByNameAndTheOneBeforeServesWhenAsked) {
  damage(last);
  const auto latest = [&] { resume(ResumeFrom::latest); };
  EXPECT_THAT(error_of(latest, ExitCode::input),
              testing::AllOf(testing::StartsWith(last.string() + ": "), HasSubstr("damaged"),
                             HasSubstr("--resume intact"), HasSubstr("remove " + directory.string())));
  EXPECT_THAT(error_of(latest, ExitCode::input), HasSubstr("damaged"));  // and again
  ASSERT_EQ(resume(ResumeFrom::intact), RunState::done);
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_THAT(notices[0], testing::AllOf(testing::StartsWith(last.string() + ": "), HasSubstr("damaged"),
                                         HasSubstr("after step 4 is computed again")));
  EXPECT_TRUE(fs::exists(last.string() + ".refused"));
  expect_equal(outcome_of(directory), expected);
}

TEST_F(DamagedCheckpoints, TruncatedOrStaleAreRefusedToo) {
  const std::string whole = read_file(last);
  write_file_atomically(last, whole.substr(0, whole.size() - 5));
  EXPECT_THAT(error_of([&] { resume(ResumeFrom::latest); }, ExitCode::input),
              testing::AllOf(HasSubstr("truncated"), HasSubstr("--resume intact")));
  write_file_atomically(last, whole);
  run.config.train.lr *= 2;
  RunJob other = job_of(run.config, directory);
  other.identity[0] = 'f';
  const Dataset dataset = run.dataset();
  EXPECT_THAT(error_of([&] { execute_run(other, dataset, 1, [](const RunProgress&) {}); }, ExitCode::input),
              testing::AllOf(testing::StartsWith(last.string() + ": is stale"), HasSubstr("train.lr")));
  run.config.train.lr /= 2;
  ASSERT_EQ(resume(ResumeFrom::latest), RunState::done);
  EXPECT_THAT(notices, testing::IsEmpty());
  expect_equal(outcome_of(directory), expected);
}

TEST_F(DamagedCheckpoints, AllOfThemLeaveNothingToGoOnFrom) {
  damage(last);
  damage(before);
  EXPECT_THAT(error_of([&] { resume(ResumeFrom::intact); }, ExitCode::input),
              testing::AllOf(HasSubstr(last.string()), HasSubstr(before.string()),
                             HasSubstr("remove " + directory.string())));
  EXPECT_TRUE(fs::exists(last));
}

// A folder stands where a file must go: no room would be the same, but for the reason.
class RefusedWrites : public DamagedCheckpoints {};

TEST_F(RefusedWrites, OfACheckpointLeaveTheOneBeforeAndTrainingGoesOn) {
  const Dataset dataset = run.dataset();
  const auto in_the_way = [this](const RunProgress&) {  // called first after step 6
    fs::create_directories(checkpoint_path(directory / "checkpoints", 7) / "x");
  };
  ASSERT_EQ(execute_run(job_of(run.config, directory), dataset, 1, in_the_way,
                        [this](const std::string& line) { notices.push_back(line); }),
            RunState::done);
  ASSERT_EQ(notices.size(), 2u);
  EXPECT_THAT(notices[0],
              testing::AllOf(testing::StartsWith("step 7: "), HasSubstr("cannot be written: Is a directory"),
                             HasSubstr("training goes on; the last checkpoint is that of step 6")));
  EXPECT_THAT(notices[1], HasSubstr("step 8: the disk takes what is written again"));
  expect_equal(outcome_of(directory), expected);
}

TEST_F(RefusedWrites, OfResultsAreTriedAgainForAWhile) {
  fs::create_directories(directory / kModelFileName / "x");
  RunJob job = job_of(run.config, directory);
  job.patience_seconds = 0.3;
  const Dataset dataset = run.dataset();
  const auto keep = [this](const std::string& line) { notices.push_back(line); };
  ASSERT_EQ(execute_run(
                job, dataset, 1, [](const RunProgress&) {}, keep),
            RunState::interrupted);
  ASSERT_GE(notices.size(), 2u);
  EXPECT_THAT(notices[0], testing::AllOf(HasSubstr("model.safetensors"), HasSubstr("trying again")));
  EXPECT_THAT(notices[1], HasSubstr("goes on from step 9"));
  EXPECT_EQ(read_run_file(directory / kRunFileName).state, RunState::interrupted);
  job.patience_seconds = 60;
  std::thread mender([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    fs::remove_all(directory / kModelFileName);
  });
  EXPECT_EQ(execute_run(
                job, dataset, 1, [](const RunProgress&) {}, keep),
            RunState::done);
  mender.join();
  expect_equal(outcome_of(directory), expected);
}

}  // namespace
}  // namespace fovea
