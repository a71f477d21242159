#pragma once

#include "core/stream.h"
#include "kernels/peak/product.h"

namespace fovea {

/// Seconds of one of so many calls of run(), which enqueues on the stream: as bench_seconds() counts them, or
/// by the device's clock.
template <class F>
double seconds_of_call(Stream& stream, int calls, F run) {
  if (stream.device() == Device::cpu) {
    const double start = bench_seconds(stream.threads());
    for (int i = 0; i < calls; ++i) run();
    return (bench_seconds(stream.threads()) - start) / calls;
  }
  const auto total = [&] {
    stream.synchronize();
    double seconds = 0;
    for (const auto& [name, operation] : stream.operations()) seconds += operation.seconds;
    return seconds;
  };
  const double before = total();
  stream.profile(true);
  for (int i = 0; i < calls; ++i) run();
  const double seconds = (total() - before) / calls;
  stream.profile(false);
  return seconds;
}

}  // namespace fovea
