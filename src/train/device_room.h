#pragma once

#include "train/plan.h"

namespace fovea {

/// plan_training(), and on a device a look at whether there is room for it. Throws UserError (failed) where
/// there is not: what was asked for, what is free, and which recompute plan would fit.
TrainingPlan plan_that_fits(const Decoder& decoder, const Config& config, Backend backend, int threads);

}  // namespace fovea
