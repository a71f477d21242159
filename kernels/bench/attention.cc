// Attention as models train it: GFLOP/s of visible pairs (attention_flops), and the share of what this
// machine's fused multiply-adds give. The naive backend stands beside as the peer.
//
//   fovea-bench [--threads=N] [Google Benchmark's own options]
//
// On one thread the time is the processor's, so that a busy machine does not show.

#include "kernels/attention/attention.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <string>
#include <string_view>

#include "core/random.h"
#include "kernels/peak/peak.h"

namespace fovea {
namespace {

struct Shape {
  int64 batch, length, q_heads, kv_heads, head_dim;
  DType dtype = DType::f32;
  bool causal = true;
  int64 window = 0;  // keys, self included; 0: all
};

// The first lines are steps of the studies; the rest shows how the kernel grows with length and head size.
constexpr Shape kShapes[] = {
    {16, 128, 8, 8, 16},
    {16, 128, 8, 4, 16},
    {16, 128, 8, 2, 16},
    {16, 128, 8, 1, 16},
    {4, 256, 8, 8, 32},
    {1, 1024, 8, 8, 32},
    {2, 256, 8, 8, 64},
    {1, 1024, 8, 8, 64},
    {1, 2048, 8, 2, 64},
    {1, 2048, 8, 8, 64, DType::f32, true, 256},
    {1, 1024, 8, 8, 64, DType::f32, false},
    {1, 1024, 8, 8, 64, DType::bf16},
    {1, 1024, 8, 8, 128},
};

AttentionProblem problem_of(const Shape& s) {
  AttentionProblem p{.batch = s.batch, .q_len = s.length, .kv_len = s.length};
  p.q_heads = s.q_heads;
  p.kv_heads = s.kv_heads;
  p.qk_dim = p.v_dim = s.head_dim;
  p.dtype = s.dtype;
  p.scale = 1 / std::sqrt(static_cast<float>(s.head_dim));
  if (s.window > 0)
    p.mask = sliding_window_mask(s.window);
  else if (s.causal)
    p.mask = causal_mask();
  return p;
}

std::string name_of(const Shape& s) {
  std::string name = fmt::format("B{}_S{}_H{}:{}_D{}_{}", s.batch, s.length, s.q_heads, s.kv_heads,
                                 s.head_dim, fovea::name_of(s.dtype));
  if (s.window > 0) return name + fmt::format("_window{}", s.window);
  return name + (s.causal ? "_causal" : "_full");
}

/// Contiguous memory of normal numbers.
class Operand {
 public:
  Operand(DType dtype, std::initializer_list<int64> shape, uint32 seed)
      : elements_(View(nullptr, dtype, shape).elements()),
        memory_(elements_ * size_of(dtype)),
        view_(memory_.data(), dtype, shape) {
    const RandomSequence random{seed, RandomUse::synthetic, 0};
    const View flat(memory_.data(), dtype, {elements_});
    for (int64 i = 0; i < elements_; ++i) store(flat, {i}, random.normal(static_cast<uint64>(i)));
  }
  operator const View&() const { return view_; }  // NOLINT(google-explicit-constructor)

 private:
  int64 elements_;
  Buffer memory_;
  View view_;
};

void run(benchmark::State& state, const Shape& s, Backend backend, Pass pass, int threads, double peak) {
  const AttentionProblem p = problem_of(s);
  const std::initializer_list<int64> q_shape{s.batch, s.length, s.q_heads, s.head_dim},
      k_shape{s.batch, s.length, s.kv_heads, s.head_dim};
  const Operand q(s.dtype, q_shape, 1), k(s.dtype, k_shape, 2), v(s.dtype, k_shape, 3),
      dout(s.dtype, q_shape, 4), out(s.dtype, q_shape, 5), dq(s.dtype, q_shape, 6), dk(s.dtype, k_shape, 7),
      dv(s.dtype, k_shape, 8), lse(DType::f32, {s.batch, s.q_heads, s.length}, 9);
  Stream stream(backend, threads);
  const auto forward = [&] {
    attention(stream, {.problem = p, .q = q, .k = k, .v = v, .out = out, .lse = lse});
  };
  forward();
  for (auto _ : state) {
    if (pass == Pass::forward)
      forward();
    else
      attention_backward(stream, {.problem = p,
                                  .q = q,
                                  .k = k,
                                  .v = v,
                                  .out = out,
                                  .lse = lse,
                                  .dout = dout,
                                  .dq = dq,
                                  .dk = dk,
                                  .dv = dv});
  }
  using benchmark::Counter;
  const double flops = attention_flops(p, pass) * static_cast<double>(state.iterations());
  state.counters["FLOP/s"] = Counter(flops, Counter::kIsRate);
  state.counters["of_peak"] = Counter(flops / (peak * threads), Counter::kIsRate);
  state.counters["scratch"] =
      Counter(static_cast<double>(stream.peak_scratch_bytes()), Counter::kDefaults, Counter::kIs1024);
}

void add_benchmarks(int threads, double peak) {
  for (const Backend backend : {Backend::cpu, Backend::naive})
    for (const Pass pass : {Pass::forward, Pass::backward})
      for (const Shape& s : kShapes) {
        const std::string name = fmt::format("attention/{}/{}/{}", fovea::name_of(backend),
                                             pass == Pass::forward ? "forward" : "backward", name_of(s));
        auto* benchmark = benchmark::RegisterBenchmark(
            name.c_str(), [=](benchmark::State& state) { run(state, s, backend, pass, threads, peak); });
        benchmark->Unit(benchmark::kMillisecond);
        if (threads == 1)
          benchmark->MeasureProcessCPUTime();
        else
          benchmark->UseRealTime();
      }
}

/// Takes --threads=N out of the arguments.
int take_threads(int& argc, char** argv) {
  constexpr std::string_view kFlag = "--threads=";
  int threads = 1, kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with(kFlag))
      std::from_chars(argument.data() + kFlag.size(), argument.data() + argument.size(), threads);
    else
      argv[kept++] = argv[i];
  }
  argc = kept;
  return threads < 1 ? 1 : threads;
}

}  // namespace
}  // namespace fovea

int main(int argc, char** argv) {
  const int threads = fovea::take_threads(argc, argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const double peak = fovea::measured_peak_flops();
  benchmark::AddCustomContext("peak of one thread",
                              fmt::format("{:.1f} GFLOP/s, fused multiply-adds", peak * 1e-9));
  benchmark::AddCustomContext("threads", fmt::format("{}", threads));
  fovea::add_benchmarks(threads, peak);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
