#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/error.h"

namespace fovea {

int64 total_steps(const Config& config) {
  const int64 sequence = config.train.sequence ? config.train.sequence : config.model.context;
  const int64 per_step = config.train.batch * sequence;
  if (config.train.tokens == 0) return 0;
  return std::max<int64>(1, (config.train.tokens + per_step / 2) / per_step);
}

double learning_rate(const TrainConfig& config, int64 step, int64 steps) {
  const double t = static_cast<double>(step), total = static_cast<double>(steps);
  const double warmup = std::max(1.0, std::round(config.warmup * total));
  double factor = 1;
  if (config.schedule == "linear") {
    factor = 1 - t / total;
  } else if (config.schedule == "cosine") {
    const double low = config.min_lr_fraction;
    factor = low + (1 - low) * 0.5 * (1 + std::cos(std::numbers::pi * t / total));
  } else if (config.schedule == "wsd") {
    const double decay = std::max(1.0, std::round(config.decay * total));
    factor = std::min(1.0, (total - t) / decay);
  } else {
    FOVEA_CHECK(config.schedule == "constant", "schedule {} passed the schema", config.schedule);
  }
  return config.lr * factor * std::min(1.0, (t + 1) / warmup);
}

}  // namespace fovea
