#include "kernels/bench/peak.h"

#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/bench/peak.cc"
#include <hwy/foreach_target.h>  // NOLINT
#include <hwy/highway.h>

#include <ctime>

#include <algorithm>

#include "core/types.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Runs `rounds` of 12 independent chains, enough to fill two units of latency 4 to 5; returns operations.
double multiply_add(int64 rounds, float* sink) {
  const hn::ScalableTag<float> d;
  const auto a = hn::Set(d, 0.999f), b = hn::Set(d, 0.001f);
  // Every chain starts elsewhere, or the compiler would see that they are one.
  const auto start = [&](float x) HWY_ATTR { return hn::Set(d, x + *sink); };
  auto c0 = start(0), c1 = start(1), c2 = start(2), c3 = start(3), c4 = start(4), c5 = start(5);
  auto e0 = start(6), e1 = start(7), e2 = start(8), e3 = start(9), e4 = start(10), e5 = start(11);
  for (int64 i = 0; i < rounds; ++i) {
    c0 = hn::MulAdd(a, c0, b), c1 = hn::MulAdd(a, c1, b), c2 = hn::MulAdd(a, c2, b);
    c3 = hn::MulAdd(a, c3, b), c4 = hn::MulAdd(a, c4, b), c5 = hn::MulAdd(a, c5, b);
    e0 = hn::MulAdd(a, e0, b), e1 = hn::MulAdd(a, e1, b), e2 = hn::MulAdd(a, e2, b);
    e3 = hn::MulAdd(a, e3, b), e4 = hn::MulAdd(a, e4, b), e5 = hn::MulAdd(a, e5, b);
  }
  const auto c = hn::Add(hn::Add(hn::Add(c0, c1), hn::Add(c2, c3)), hn::Add(c4, c5));
  const auto e = hn::Add(hn::Add(hn::Add(e0, e1), hn::Add(e2, e3)), hn::Add(e4, e5));
  *sink = hn::GetLane(hn::SumOfLanes(d, hn::Add(c, e)));
  return static_cast<double>(rounds) * 12 * 2 * static_cast<double>(hn::Lanes(d));
}

}  // namespace
}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea {
namespace {
HWY_EXPORT(multiply_add);

double thread_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}
}  // namespace

double measured_peak_flops() {
  volatile float keep = 0;
  double best = 0;
  for (int attempt = 0; attempt < 20; ++attempt) {
    float sink = 0;
    const double start = thread_seconds();
    const double operations = HWY_DYNAMIC_DISPATCH(multiply_add)(1'000'000, &sink);
    best = std::max(best, operations / (thread_seconds() - start));
    keep = sink;
  }
  (void)keep;
  return best;
}

}  // namespace fovea
#endif  // HWY_ONCE
