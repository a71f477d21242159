#pragma once

#include <string>

#include "experiments/study_plan.h"

namespace fovea {

/// The runs of a study as a table: parameters, tokens, predicted memory, floating-point operations; then
/// totals. Nothing is run, and no corpus is read: bytes are assumed as tokens.
std::string describe_plan(const StudyPlan& plan, int64 threads);

/// What one configuration's training takes: parameters, KV bytes per token, the planned memory by kind,
/// FLOPs.
std::string describe_prediction(const Config& config, int64 threads);

}  // namespace fovea
