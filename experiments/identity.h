#pragma once

#include <string>
#include <string_view>

#include "data/dataset.h"
#include "experiments/study_plan.h"

namespace fovea {

/// Names a run by what determines its result: configuration, corpus, where its weights come from, and
/// numerics.
struct RunIdentity {
  std::string inputs;  ///< without numerics: names the run's directory
  std::string full;
};
/// baseline: the identity of the run it starts from; empty: none (init.from is then hashed as a file).
RunIdentity identify(const PlannedRun& run, const Dataset& dataset, std::string_view baseline);

}  // namespace fovea
