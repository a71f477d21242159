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
/// baseline: the identity of the run it starts from, or hash_of_initial_weights(init.from); empty: that is
/// computed here where there is an init.from.
RunIdentity identify(const PlannedRun& run, const Dataset& dataset, std::string_view baseline);

}  // namespace fovea
