// The speed of attention and of operations that memory bounds, and what this machine's limits are.
//
//   fovea-bench [--threads=N] [--instruction-set=NAME] [--lines] [Google Benchmark's own options] [NAME...]
//
// NAME is a case of attention_case.h or row_case.h; without one the default cases and the limits run. --lines
// answers names from standard input (lines.h). On one thread times are the processor's, so that a busy
// machine does not show.

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <map>

#include "core/error.h"
#include "kernels/bench/attention_work.h"
#include "kernels/bench/limits.h"
#include "kernels/bench/lines.h"
#include "kernels/bench/options.h"
#include "kernels/bench/row_work.h"
#include "kernels/matmul/library.h"
#include "kernels/peak/peak.h"
#include "kernels/peak/product.h"

namespace fovea {
namespace {

using benchmark::Counter;

void time_attention(benchmark::State& state, const TimedAttention& what, int threads) {
  static std::map<std::pair<Device, DType>, double> limits;  // measured once
  double& limit = limits[{device_of(what.backend), what.problem.dtype}];
  if (limit == 0) limit = measured_peak_flops(what.backend, what.problem.dtype, threads);
  AttentionWork work(what, threads);
  work.run();
  double total = 0;
  for (auto _ : state) total += work.time(1);
  const double seconds = total / static_cast<double>(state.iterations());
  state.counters["FLOP/s"] = work.flops() / seconds;
  state.counters["of_limit"] = work.flops() / seconds / limit;
  state.counters["workspace"] =
      Counter(static_cast<double>(work.workspace_bytes()), Counter::kDefaults, Counter::kIs1024);
  if (is_decoding(what.problem)) state.counters["of_bound"] = work.decoding_bound_seconds(limit) / seconds;
}

void add_limits(int threads) {
  for (const std::string& name : limit_names())
    benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
      double best = 0;
      for (auto _ : state) best = std::max(best, measured_limit(name, threads));
      state.counters[name == "limit/read" || name == "limit/cuda/copy" ? "B/s" : "FLOP/s"] = best;
    })->Unit(benchmark::kMillisecond);
}

void time_rows(benchmark::State& state, const TimedRows& what, int threads) {
  constexpr int kCalls = 32;               // so many that a device's queue is never empty
  static std::map<Device, double> limits;  // measured once
  double& limit = limits[device_of(what.backend)];
  const bool on_device = device_of(what.backend) == Device::cuda;
  if (limit == 0) limit = on_device ? measured_device_bandwidth() : measured_read_bandwidth(threads);
  RowWork work(what, threads);
  double total = 0;
  for (auto _ : state) total += work.time(on_device ? kCalls : 1);
  const double seconds = total / static_cast<double>(state.iterations());
  state.counters["seconds"] = seconds;
  state.counters["B/s"] = static_cast<double>(work.bytes()) / seconds;
  state.counters["of_limit"] = static_cast<double>(work.bytes()) / seconds / limit;
}

void add_cases(const std::vector<std::string>& names, int threads) {
  for (const std::string& name : names) {
    if (names_rows(name)) {
      const TimedRows what = timed_rows_named(name);
      benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
        time_rows(state, what, threads);
      })->Unit(benchmark::kMillisecond);
      continue;
    }
    const TimedAttention what = timed_attention_named(name);
    benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
      time_attention(state, what, threads);
    })->Unit(benchmark::kMillisecond);
  }
}

int run(int argc, char** argv) {
  const BenchOptions options = take_options(argc, argv);
  const InstructionSet set = instruction_set_named(options.instruction_set);
  use_instruction_set(set);
  limit_matrix_library(set);
  if (options.lines) {
    answer_lines(std::cin, std::cout, options.threads);
    return 0;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return static_cast<int>(ExitCode::usage);
  benchmark::AddCustomContext("threads", fmt::format("{}", options.threads));
  benchmark::AddCustomContext("instruction set", std::string(name_of(set)));
  if (options.names.empty()) add_limits(options.threads);
  add_cases(options.names.empty() ? default_attention_names() : options.names, options.threads);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace fovea

int main(int argc, char** argv) {
  try {
    return fovea::run(argc, argv);
  } catch (const fovea::UserError& error) {
    fmt::print(stderr, "fovea-bench: {}\n", error.what());
    return static_cast<int>(error.code());
  }
}
