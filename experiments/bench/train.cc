// Steps of training as models are trained: tokens per second, and the share of what this machine's products
// and memory allow.
//
//   fovea-bench-train [--threads=N] [--backend=cpu|cuda|cudnn] [Google Benchmark's own options]
//
// The bound of a step is (6 x parameters + attention) FLOPs at the rate of one large product of the library,
// and the optimizer's bytes at the rate of a plain read, both measured here on the same threads; on a device,
// of its library's product and a copy. Tokens are random. On one thread the time is the processor's, so that
// a busy machine does not show.

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/random.h"
#include "data/dataset.h"
#include "kernels/attention/attention.h"
#include "kernels/peak/peak.h"
#include "kernels/peak/product.h"
#include "train/trainer.h"

namespace fovea {
namespace {

struct Shape {
  const char* family;
  int64 layers, width, heads, kv_heads, vocabulary, batch, length;
};

constexpr Shape kShapes[] = {
    {"gpt2", 12, 768, 12, 12, 50257, 4, 64}, {"gpt2", 12, 768, 12, 12, 50257, 1, 1024},
    {"llama", 6, 384, 6, 6, 256, 16, 256},   {"llama", 4, 128, 4, 4, 256, 12, 64},
    {"llama", 4, 256, 8, 8, 256, 16, 256},   {"llama", 4, 256, 8, 4, 256, 16, 256},
    {"llama", 4, 256, 8, 1, 256, 16, 256},
};
// What fills a device, each batch one grain; the context of GPT-2 as it was trained.
constexpr Shape kDeviceShapes[] = {
    {"gpt2", 12, 768, 12, 12, 50257, 32, 1024},
    {"gpt2", 24, 1024, 16, 16, 50257, 16, 1024},
    {"llama", 12, 768, 12, 4, 32000, 32, 1024},
    {"llama", 16, 2048, 16, 4, 32000, 4, 2048},
};

struct Options {
  int threads = 1;
  Backend backend = Backend::cpu;
  bool on_device() const { return device_of(backend) == Device::cuda; }
};

/// As the peer's: tests/peers/train_step.py.
std::string name_of(const Shape& s, std::string_view precision) {
  return fmt::format("train/{}/{}_l{}_c{}_hq{}_hkv{}_v{}/b{}_t{}", precision, s.family, s.layers, s.width,
                     s.heads, s.kv_heads, s.vocabulary, s.batch, s.length);
}

/// A folder that ends with the program.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "fovea-bench-XXXXXX").string();
    FOVEA_CHECK(::mkdtemp(name.data()) != nullptr, "no temporary folder {}", name);
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Random tokens below `vocabulary` in a file.
std::filesystem::path write_tokens(const Folder& folder, int64 vocabulary) {
  std::filesystem::path path = folder.path() / fmt::format("v{}.bin", vocabulary);
  if (std::filesystem::exists(path)) return path;
  const RandomSequence random{1, RandomUse::synthetic, 0};
  std::vector<uint16_t> tokens(200'000);
  for (size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = static_cast<uint16_t>(random.below(static_cast<uint64>(vocabulary), i));
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(tokens.data()), static_cast<std::streamsize>(2 * tokens.size()));
  return path;
}

Config config_of(const Shape& s, std::string_view precision, const Folder& folder, const Options& options) {
  Config config;
  config.model.family = s.family;
  config.model.layers = s.layers;
  config.model.width = s.width;
  config.model.q_heads = s.heads;
  config.model.kv_heads = s.kv_heads;
  config.model.context = s.length;
  config.model.tie_embeddings = "yes";
  config.data.corpus = write_tokens(folder, s.vocabulary).string();
  config.data.vocab = s.vocabulary;
  config.train.batch = s.batch;
  if (options.on_device()) config.train.grain = s.batch;
  config.train.tokens = s.batch * s.length * 1'000'000;
  config.train.precision = precision;
  return config;
}

struct Limits {
  double f32 = 0, bf16 = 0, bandwidth = 0;
};

/// 6 per parameter and token, and attention's visible pairs.
double flops_of_step(const Shape& s, const TrainingPlan& plan) {
  AttentionProblem p{.batch = s.batch, .q_len = s.length, .kv_len = s.length};
  p.q_heads = s.heads;
  p.kv_heads = s.kv_heads;
  p.qk_dim = p.v_dim = s.width / s.heads;
  p.mask = causal_mask();
  const double attention = attention_flops(p, Pass::forward) + attention_flops(p, Pass::backward);
  return 6 * static_cast<double>(plan.parameters) * static_cast<double>(s.batch * s.length) +
         static_cast<double>(s.layers) * attention;
}

/// The least seconds of a step.
double bound(const Shape& s, const TrainingPlan& plan, const Limits& limits) {
  const bool narrow = plan.precision.compute == DType::bf16;
  const auto parameters = static_cast<double>(plan.parameters);
  // AdamW reads gradient, weight and moments, writes the latter three, and a copy in bf16.
  const double bytes = parameters * (7 * 4 + (narrow ? 2 : 0));
  return flops_of_step(s, plan) / (narrow ? limits.bf16 : limits.f32) + bytes / limits.bandwidth;
}

void run(benchmark::State& state, const Shape& s, std::string_view precision, const Folder& folder,
         const Options& options, const Limits& limits) {
  const Config config = config_of(s, precision, folder, options);
  const Dataset dataset = open_dataset(config.data, s.length);
  Trainer trainer(config, dataset, options.backend, options.threads);
  trainer.initialise_weights();
  // The first steps load libraries and choose algorithms.
  for (int warm = 0; warm < (options.on_device() ? 3 : 1); ++warm) trainer.step();
  for (auto _ : state) trainer.step();
  using benchmark::Counter;
  const auto steps = static_cast<double>(state.iterations());
  const double tokens = steps * static_cast<double>(s.batch * s.length);
  state.counters["tokens/s"] = Counter(tokens, Counter::kIsRate);
  state.counters["of_bound"] = Counter(steps * bound(s, trainer.plan(), limits), Counter::kIsRate);
  state.counters["FLOP/s"] = Counter(steps * flops_of_step(s, trainer.plan()), Counter::kIsRate);
  state.counters["memory"] =
      Counter(static_cast<double>(trainer.plan().predicted_bytes()), Counter::kDefaults, Counter::kIs1024);
}

void add_benchmarks(const Folder& folder, const Options& options, const Limits& limits) {
  const std::span<const Shape> shapes =
      options.on_device() ? std::span<const Shape>(kDeviceShapes) : std::span<const Shape>(kShapes);
  for (const std::string_view precision : {"f32", "bf16"})
    for (const Shape& s : shapes) {
      const std::string name = name_of(s, precision);
      auto* benchmark = benchmark::RegisterBenchmark(
          name.c_str(), [&folder, &s, precision, options, limits](benchmark::State& state) {
            run(state, s, precision, folder, options, limits);
          });
      benchmark->Unit(benchmark::kMillisecond);
      if (options.threads == 1 && !options.on_device())
        benchmark->MeasureProcessCPUTime();
      else
        benchmark->UseRealTime();
    }
}

/// Takes --threads=N and --backend=NAME out of the arguments.
Options take_options(int& argc, char** argv) {
  constexpr std::string_view kThreads = "--threads=", kBackend = "--backend=";
  Options options;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with(kThreads))
      std::from_chars(argument.data() + kThreads.size(), argument.data() + argument.size(), options.threads);
    else if (argument.starts_with(kBackend))
      options.backend = backend_named(argument.substr(kBackend.size()));
    else
      argv[kept++] = argv[i];
  }
  argc = kept;
  options.threads = std::max(options.threads, 1);
  return options;
}

Limits measured_limits(const Options& options) {
  if (options.on_device())
    return {measured_device_product_flops(DType::f32), measured_device_product_flops(DType::bf16),
            measured_device_bandwidth()};
  return {measured_product_flops(DType::f32, options.threads),
          measured_product_flops(DType::bf16, options.threads), measured_read_bandwidth(options.threads)};
}

int run_benchmarks(int argc, char** argv) {
  const Options options = take_options(argc, argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return static_cast<int>(ExitCode::usage);
  const Limits limits = measured_limits(options);
  benchmark::AddCustomContext(
      "bound", fmt::format("products {:.1f} GFLOP/s in f32, {:.1f} in bf16; memory {:.1f} GB/s",
                           limits.f32 * 1e-9, limits.bf16 * 1e-9, limits.bandwidth * 1e-9));
  benchmark::AddCustomContext("threads", fmt::format("{}", options.threads));
  benchmark::AddCustomContext("backend", std::string(name_of(options.backend)));
  const Folder folder;
  add_benchmarks(folder, options, limits);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace fovea

int main(int argc, char** argv) {
  try {
    return fovea::run_benchmarks(argc, argv);
  } catch (const fovea::UserError& error) {
    fmt::print(stderr, "fovea-bench-train: {}\n", error.what());
    return static_cast<int>(error.code());
  }
}
