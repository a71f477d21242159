#pragma once

#include <algorithm>

#include "kernels/adamw/adamw.h"
#include "kernels/cuda_only.h"

namespace fovea {

// What an update reads of one number in memory that the host can read too.
inline bool goes(const AdamW& op) { return !op.go || *op.go.data<int32>() != 0; }
inline double whole_scale(const AdamW& op) {
  return op.gradient_scale * (op.gradient_factor ? *op.gradient_factor.data<double>() : 1);
}

/// f(range, decay) for each range of `within` that decays alike.
template <class F>
void for_each_decay(const AdamW& op, Range within, F f) {
  if (!op.decayed) return f(within, op.decay);
  int64 at = within.begin;
  const auto ends_later = [&](const Range& range) { return range.end <= within.begin; };
  auto next = std::partition_point(op.decayed->begin(), op.decayed->end(), ends_later);
  for (; next != op.decayed->end() && next->begin < within.end; ++next) {
    const Range own{std::max(at, next->begin), std::min(within.end, next->end)};
    if (at < own.begin) f(Range{at, own.begin}, 0.0);
    f(own, op.decay);
    at = own.end;
  }
  if (at < within.end) f(Range{at, within.end}, 0.0);
}

namespace reference {
void run(Execution& execution, const AdamW& op);
void run(Execution& execution, const UpdateGate& op);
}  // namespace reference

namespace cpu {
FOVEA_CPU_ONLY int64 scratch_bytes(const AdamW& op);
FOVEA_CPU_ONLY void run(Execution& execution, const AdamW& op);
FOVEA_CPU_ONLY void run(Execution& execution, const UpdateGate& op);
}  // namespace cpu

namespace cuda {  // absent in builds without a CUDA compiler
FOVEA_CUDA_ONLY int64 scratch_bytes(const AdamW& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const AdamW& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const UpdateGate& op);
}  // namespace cuda

}  // namespace fovea
