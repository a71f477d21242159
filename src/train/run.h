#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "config/schema.h"
#include "data/dataset.h"
#include "record/run_record.h"

namespace fovea {

/// Which checkpoint an interrupted run goes on from: the latest, which must be whole, or the latest that is.
enum class ResumeFrom { latest, intact };

/// One run of a study, with everything that its record will say.
struct RunJob {
  std::string name, identity;
  RunRole role = RunRole::train;
  Config config;
  Sources sources;
  std::string config_text;  ///< raw, for the record
  Lineage lineage;
  int64 seed = 0;          ///< of the baseline that it belongs to
  int64 first_sample = 0;  ///< where in the data's order it begins
  int64 numerics = 0;
  std::filesystem::path directory;
  std::vector<std::string> command;
  ResumeFrom resume = ResumeFrom::latest;
  double patience_seconds = 300;  ///< how long the end of a run waits for a disk that takes no results
};

/// What a run says of itself while it goes.
struct RunProgress {
  int64 step = 0, total_steps = 0;
  double loss = 0, tokens_per_second = 0, flops_per_second = 0;  ///< over the last seconds
  int64 resident_bytes = 0;
  double seconds_left = 0;  ///< from the work done since it started or resumed
  bool evaluating = false;
  int64 skipped = 0;  ///< updates that the spike guard left out in this sitting
};
using ProgressSink = std::function<void(const RunProgress&)>;
/// Takes a line that must be seen: work that is skipped, a result that cannot be written.
using NoticeSink = std::function<void(const std::string&)>;

/// Of the Hugging Face folder that a run leaves where it began with one.
inline constexpr const char* kExportFolderName = "hugging_face";

/// Trains to the end, or from the last checkpoint of its directory, and leaves there run.h5, journal.jsonl,
/// model.safetensors, and a Hugging Face folder where init.from is one. Returns `interrupted` when a stop was
/// asked for, in training or in an evaluation: a checkpoint is then on disk and the same call goes on from
/// it, to the same bits.
///
/// A disk that takes no checkpoint leaves the one before as it was; training goes on and tries again at the
/// next one. Where it takes no results, the run waits for `patience_seconds`, then returns `interrupted`.
/// Throws UserError; what was journalled until then stays.
RunState execute_run(const RunJob& job, const Dataset& dataset, int threads, const ProgressSink& progress,
                     const NoticeSink& notice = {});

}  // namespace fovea
