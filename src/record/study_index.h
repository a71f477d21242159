#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "record/claims/claim.h"
#include "record/run_record.h"

namespace fovea {

inline constexpr const char* kStudyFileName = "study.json";

struct StudyRun {
  std::string name, identity;
  RunRole role = RunRole::train;
  std::string directory;  ///< relative to the study's, within it; holds run.h5 and journal.jsonl
  RunState state = RunState::waiting;
  std::vector<std::string> depends_on;  ///< names of runs
  std::string error;                    ///< one line; empty unless failed
};

/// The graph of runs of one study, in the order in which they are shown.
struct StudyIndex {
  std::string name, kind;  ///< kind: "train", "gqa"
  std::string config;      ///< raw text
  std::vector<StudyRun> runs;
  std::vector<ClaimFile> claims;  ///< that the report judges; none in studies of before there were claims
};

/// study.json in `directory`, replaced atomically. Throws UserError (failed).
void write_study_index(const std::filesystem::path& directory, const StudyIndex&);

/// Throws UserError (input) for a file that is missing, is no index, or names a directory outside the
/// study's, a run twice or a dependency that is not there.
StudyIndex read_study_index(const std::filesystem::path& directory);

/// The runs as a text table with a line of totals: state, step / total, loss, tokens/s, time left. Reads the
/// index and the journals, so it works while the study runs in another process.
std::string status_table(const std::filesystem::path& directory);

}  // namespace fovea
