#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/error.h"
#include "experiments/study_plan.h"
#include "train/run.h"

namespace fovea {

enum class Stale { rerun, keep };  // runs that an older numerics made

struct StudyOptions {
  std::filesystem::path directory;
  int64 jobs = 1;     ///< runs side by side, each on its share of the threads
  int64 threads = 0;  ///< of all jobs together; 0: all there are
  Stale stale = Stale::rerun;
  ResumeFrom resume = ResumeFrom::latest;
  bool quiet = false;
  std::vector<std::string> command;
};

/// Runs what is not finished, each run in a process of its own, in the order of the plan as far as its
/// dependencies allow. One that fails leaves the others running. Where another process runs a study in the
/// same directory, waits for it to end. Returns done or interrupted; throws UserError (failed) when all is
/// over and some run failed.
ExitCode run_study(const StudyPlan& plan, const StudyOptions& options);

}  // namespace fovea
