#include "train/spike_guard.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace fovea {

SpikeGuard::SpikeGuard(const TrainConfig& config)
    : on_(config.spike_guard != "off"), skips_(config.spike_guard == "skip"), sigma_(config.spike_sigma) {}

double SpikeGuard::mean() const {
  return std::accumulate(losses_.begin(), losses_.end(), 0.0) / static_cast<double>(losses_.size());
}

double SpikeGuard::limit() const {
  const auto known = static_cast<int64>(losses_.size());
  if (!on_ || known < kWarmIn) return std::numeric_limits<double>::infinity();
  const double center = mean();
  double squares = 0;
  for (const double loss : losses_) squares += (loss - center) * (loss - center);
  const double deviation = std::sqrt(squares / static_cast<double>(known - 1));
  return center + sigma_ * std::max(deviation, kLeastDeviation * std::abs(center));
}

void SpikeGuard::remember(double loss, bool skipped) {
  in_a_row_ = skipped ? in_a_row_ + 1 : 0;
  if (skipped || !on_) return;
  losses_.push_back(loss);
  if (static_cast<int64>(losses_.size()) > kWindow) losses_.pop_front();
}

}  // namespace fovea
