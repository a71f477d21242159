#pragma once

#include <string>
#include <vector>

#include "config/load.h"
#include "record/claims/claim.h"
#include "record/run_record.h"

namespace fovea {

/// One run as its study plans it.
struct PlannedRun {
  std::string name;  ///< unique in its study, fit for a file name
  RunRole role = RunRole::train;
  Config config;  ///< effective; init.from is set when the baseline's place is known
  Sources sources;
  std::string baseline;  ///< name of the run whose weights it starts from; empty: none
  double alpha = 0;      ///< its tokens over its baseline's
  int64 seed = 0;        ///< of the repetition that it belongs to
  int64 first_sample = 0;
};

struct StudyPlan {
  std::string name, kind, config_text;
  std::vector<PlannedRun> runs;   ///< every run after the one that it depends on
  std::vector<ClaimFile> claims;  ///< that its report judges
};

/// What a configuration asks for. Throws UserError where a file of claims cannot be read or is wrong.
StudyPlan plan_study(const LoadedConfig& loaded);

/// The runs of one point of a GQA study (Ainslie et al. 2023, section 2), for each seed: an MHA baseline; it
/// converted to G KV heads by each initialisation and uptrained for each alpha of its steps (fresh moments,
/// its own schedule, on what comes next in the data's order); and the controls: MHA trained for the same
/// extra tokens, GQA from scratch.
std::vector<PlannedRun> plan_gqa(const RunVariant& variant);

}  // namespace fovea
