#pragma once

#include <deque>

#include "config/config.h"

namespace fovea {

/// Knows a loss that stands out: more than train.spike_sigma standard deviations above the mean of the last
/// kWindow losses that did not. It judges nothing before kWarmIn of them are known. What it says is a
/// function of the losses and of which were skipped, so that a resumed run recalls it from the journal.
class SpikeGuard {
 public:
  static constexpr int64 kWindow = 64, kWarmIn = 32;
  /// So many in a row are no spikes, but another level of the loss.
  static constexpr int64 kMostSkipped = 16;
  /// Of the mean: deviations smaller than this are taken for it, or a smooth curve's every bend would be one.
  static constexpr double kLeastDeviation = 1e-3;

  explicit SpikeGuard(const TrainConfig& config);

  bool on() const { return on_; }
  bool skips() const { return skips_; }
  /// nat/token: the largest loss of the next step that is no spike; infinite where nothing is judged.
  double limit() const;
  double mean() const;
  /// After a step; `skipped`: its loss was a spike, and the update was left out.
  void remember(double loss, bool skipped);
  int64 skipped_in_a_row() const { return in_a_row_; }

 private:
  bool on_, skips_;
  double sigma_;
  std::deque<double> losses_;
  int64 in_a_row_ = 0;
};

}  // namespace fovea
