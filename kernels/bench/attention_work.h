#pragma once

#include "kernels/bench/attention_case.h"

namespace fovea {

/// The operands of a case, normal numbers, and a stream to run it on: once the forward pass has filled out
/// and lse, run() does what is to be timed.
class AttentionWork {
 public:
  AttentionWork(TimedAttention what, int threads);

  void run();
  /// Runs it this many times; seconds of one: as bench_seconds() counts them, or by the device's clock.
  double time(int calls);
  const TimedAttention& what() const { return what_; }
  int threads() const { return stream_.threads(); }
  double flops() const { return attention_flops(what_.problem, what_.pass); }
  int64 workspace_bytes() const { return stream_.peak_scratch_bytes(); }
  /// Seconds below which no decoding goes: the larger of a plain read of K and V where they lie, and the
  /// FLOPs at the limit of the dtype.
  double decoding_bound_seconds(double limit_flops) const;

 private:
  void forward();

  TimedAttention what_;
  Stream stream_;
  Buffer q_, k_, v_, dout_, out_, lse_, dq_, dk_, dv_;
};

}  // namespace fovea
