#include "kernels/peak/peak.h"

#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/peak/peak.cc"
#include <hwy/foreach_target.h>  // NOLINT
#include <hwy/highway.h>

#include <ctime>

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/buffer.h"
#include "core/thread_pool.h"
#include "core/types.h"
#include "kernels/simd/instruction_set.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

/// The sum of n floats, by four chains of vectors; n is a multiple of all of them.
double read(const float* x, int64 n) {
  const hn::ScalableTag<float> d;
  const int64 lanes = static_cast<int64>(hn::Lanes(d));
  auto a = hn::Zero(d), b = a, c = a, e = a;
  for (int64 i = 0; i < n; i += 4 * lanes) {
    a = hn::Add(a, hn::LoadU(d, x + i));
    b = hn::Add(b, hn::LoadU(d, x + i + lanes));
    c = hn::Add(c, hn::LoadU(d, x + i + 2 * lanes));
    e = hn::Add(e, hn::LoadU(d, x + i + 3 * lanes));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a, b), hn::Add(c, e))));
}

}  // namespace
}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea {
namespace {
HWY_EXPORT(multiply_add);
HWY_EXPORT(read);

#if defined(__x86_64__)
// Highway has no name for this instruction set yet. As multiply_add().
__attribute__((target("avx512f,avx512bf16"))) double dot_pairs(int64 rounds, float* sink) {
  const auto pairs = (__m512bh)_mm512_set1_epi32(0x3f803f80);  // ones
  const auto start = [&](float x) __attribute__((target("avx512f"))) { return _mm512_set1_ps(x + *sink); };
  __m512 c0 = start(0), c1 = start(1), c2 = start(2), c3 = start(3), c4 = start(4), c5 = start(5);
  __m512 e0 = start(6), e1 = start(7), e2 = start(8), e3 = start(9), e4 = start(10), e5 = start(11);
  for (int64 i = 0; i < rounds; ++i) {
    c0 = _mm512_dpbf16_ps(c0, pairs, pairs), c1 = _mm512_dpbf16_ps(c1, pairs, pairs);
    c2 = _mm512_dpbf16_ps(c2, pairs, pairs), c3 = _mm512_dpbf16_ps(c3, pairs, pairs);
    c4 = _mm512_dpbf16_ps(c4, pairs, pairs), c5 = _mm512_dpbf16_ps(c5, pairs, pairs);
    e0 = _mm512_dpbf16_ps(e0, pairs, pairs), e1 = _mm512_dpbf16_ps(e1, pairs, pairs);
    e2 = _mm512_dpbf16_ps(e2, pairs, pairs), e3 = _mm512_dpbf16_ps(e3, pairs, pairs);
    e4 = _mm512_dpbf16_ps(e4, pairs, pairs), e5 = _mm512_dpbf16_ps(e5, pairs, pairs);
  }
  const __m512 c = c0 + c1 + c2 + c3 + c4 + c5, e = e0 + e1 + e2 + e3 + e4 + e5;
  *sink = _mm512_reduce_add_ps(c + e) * 1e-30f;
  return static_cast<double>(rounds) * 12 * 2 * 32;
}
#else
double dot_pairs(int64, float*) { return 0; }
#endif

double thread_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// The best of some attempts: the sum over threads of work(thread) per second of that thread, all at once.
double best_rate(int threads, int attempts, FunctionRef<double(int64)> work) {
  ThreadPool pool(threads);
  std::vector<double> rates(static_cast<size_t>(threads));
  double best = 0;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    pool.run(threads, [&](int64 part, int) {
      const double start = thread_seconds();
      const double done = work(part);
      rates[static_cast<size_t>(part)] = done / std::max(1e-9, thread_seconds() - start);
    });
    double sum = 0;
    for (const double rate : rates) sum += rate;
    best = std::max(best, sum);
  }
  return best;
}
}  // namespace

double measured_peak_flops(DType dtype, int threads) {
  constexpr int64 kRounds = 300'000;  // a millisecond
  const bool pairs = dtype == DType::bf16 && has_bf16_dot();
  return best_rate(threads, 30, [pairs](int64) {
    volatile float keep = 0;
    float sink = 0;
    const double operations =
        pairs ? dot_pairs(kRounds, &sink) : HWY_DYNAMIC_DISPATCH(multiply_add)(kRounds, &sink);
    keep = sink;
    (void)keep;
    return operations;
  });
}

double measured_read_bandwidth(int threads) {
  const Buffer memory(int64{96} << 20);
  // Pages that nobody has written are all the same one, in the cache.
  std::memset(memory.data(), 1, static_cast<size_t>(memory.bytes()));
  return measured_read_bandwidth(memory.data(), memory.bytes(), threads);
}

double measured_read_bandwidth(const void* memory, int64 bytes, int threads) {
  constexpr int64 kWhole = 1024;  // floats: a multiple of what is read at once
  const int64 each = bytes / threads / int64{sizeof(float)} / kWhole * kWhole;
  FOVEA_CHECK(each > 0, "{} bytes are too few for {} threads", bytes, threads);
  const auto* x = static_cast<const float*>(memory);
  const int attempts = static_cast<int>(std::clamp<int64>((int64{1} << 29) / bytes, 5, 1000));
  return best_rate(threads, attempts, [=](int64 part) {
    volatile double keep = HWY_DYNAMIC_DISPATCH(read)(x + part * each, each);
    (void)keep;
    return static_cast<double>(each) * sizeof(float);
  });
}

}  // namespace fovea
#endif  // HWY_ONCE
