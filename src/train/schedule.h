#pragma once

#include "config/config.h"

namespace fovea {

/// Optimizer steps of a run: its tokens over the tokens of a step, rounded to the nearest, at least 1 (0
/// tokens: 0).
int64 total_steps(const Config& config);

/// Learning rate of step `step` (from 0) of `steps`: linear warm-up over warmup * steps, multiplied with
///   constant: 1;   linear: from 1 to 0;   cosine: from 1 to min_lr_fraction over a half period;
///   wsd: 1, then linearly to 0 over the last decay * steps (Hu et al. 2024, section 4).
double learning_rate(const TrainConfig& config, int64 step, int64 steps);

}  // namespace fovea
