#include "kernels/bench/limits.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string>

#include "core/stream.h"
#include "kernels/bench/options.h"
#include "kernels/matmul/matmul.h"
#include "kernels/peak/peak.h"
#include "kernels/simd/instruction_set.h"

namespace fovea {
namespace {

/// As measured_peak_flops() and measured_read_bandwidth() measure: each call takes the best of several.
void time_limit(benchmark::State& state, const char* counter, const std::function<double()>& measured) {
  double best = 0;
  for (auto _ : state) best = std::max(best, measured());
  state.counters[counter] = best;
}

void time_matmul(benchmark::State& state, DType dtype, int threads) {
  constexpr int64 kSize = 2048;
  const Buffer a(dtype, {kSize, kSize}), b(dtype, {kSize, kSize}), c(DType::f32, {kSize, kSize});
  for (const Buffer* operand : {&a, &b})  // 1, so that no multiplication is one by zero
    for (int64 i = 0; i < kSize * kSize; ++i) store(operand->view().reshape({kSize * kSize}), {i}, 1);
  Stream stream(Backend::cpu, threads);
  matmul(stream, {.a = a, .b = b, .c = c});
  const double start = bench_seconds(threads);
  for (auto _ : state) matmul(stream, {.a = a, .b = b, .c = c});
  const double seconds = (bench_seconds(threads) - start) / static_cast<double>(state.iterations());
  state.counters["FLOP/s"] = 2.0 * kSize * kSize * kSize / seconds;
}

}  // namespace

void add_limits(int threads) {
  const auto add = [](const std::string& name, const std::function<void(benchmark::State&)>& run) {
    benchmark::RegisterBenchmark(name.c_str(), run)->Unit(benchmark::kMillisecond);
  };
  add("limit/fma", [=](auto& state) {
    time_limit(state, "FLOP/s", [=] { return measured_peak_flops(DType::f32, threads); });
  });
  if (has_bf16_dot())
    add("limit/bf16_dot", [=](auto& state) {
      time_limit(state, "FLOP/s", [=] { return measured_peak_flops(DType::bf16, threads); });
    });
  for (const DType dtype : {DType::f32, DType::bf16})
    add(fmt::format("limit/matmul_2048/{}", name_of(dtype)),
        [=](auto& state) { time_matmul(state, dtype, threads); });
  add("limit/read",
      [=](auto& state) { time_limit(state, "B/s", [=] { return measured_read_bandwidth(threads); }); });
}

}  // namespace fovea
