// Fifty AdamW steps beside PyTorch's, and their bits beside those recorded: README.md has the rules.

#include <dnnl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "config/load.h"
#include "convert/safetensors.h"
#include "core/build_info.h"
#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "experiments/numerics.h"
#include "record/hdf5.h"
#include "record/provenance.h"
#include "train/checkpoint.h"
#include "train/trainer.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = GOLDEN_TRAJECTORY;
const fs::path kBitsFile = kFolder / "bits.txt";

/// What fovea comes to from the first weights of llama or gpt2; `order`: on the samples of that many seeds
/// on.
class Trained {
 public:
  Trained(const std::string& name, const std::string& precision, Backend backend = Backend::cpu,
          int64 order = 0)
      : config_(config_of(name, precision, order)),
        dataset_(open_dataset(config_.data, config_.model.context)),
        trainer_(config_, dataset_, backend, /*threads=*/2) {
    const View weights = trainer_.state().weights();
    const std::vector<float> first =
        read_all(weights_in(kFolder / (name + "_first.safetensors"), layout()), layout());
    for (int64 i = 0; i < layout().elements(); ++i)
      store(weights, {i}, double{first[static_cast<size_t>(i)]});
    trainer_.resume_at(0);
    while (trainer_.steps_done() < trainer_.total_steps()) {
      const StepResult step = trainer_.step();
      losses.push_back(step.loss);
      norms.push_back(step.grad_norm);
    }
    for (int64 i = 0; i < layout().elements(); ++i) last.push_back(load(weights, {i}));
  }

  std::string hash() const {
    return hash128(hash128(std::as_bytes(std::span(losses))) + hash128(std::as_bytes(std::span(norms))) +
                   hash128(std::as_bytes(std::span(last))));
  }
  const Config& config() const { return config_; }
  const ParameterLayout& layout() const { return trainer_.decoder().layout(); }
  int64 grains() const { return trainer_.plan().shape.grains(); }

  std::vector<double> losses, norms, last;  // of each step; the last weights in the layout's order

 private:
  static Config config_of(const std::string& name, const std::string& precision, int64 order) {
    const fs::path file = kFolder / (name + ".toml");
    Config config = config_from_text(read_file(file), file.string());
    config.data.corpus = (kFolder / config.data.corpus).string();
    config.train.precision = precision;
    config.train.seed += order;
    return config;
  }

  Config config_;
  Dataset dataset_;
  Trainer trainer_;
};

h5::Group pytorch(const std::string& name) { return h5::open_file(kFolder / (name + ".h5")); }

constexpr int64 kSteps = 50;

/// The losses by PyTorch of each order's steps, the configuration's own seed first.
std::vector<std::vector<double>> losses_of(const std::string& name, const std::string& dataset) {
  const h5::Array<double> all = pytorch(name).read<double>(dataset);
  EXPECT_EQ(all.shape, (std::vector<int64>{6, kSteps}));
  std::vector<std::vector<double>> orders;
  for (auto begin = all.values.begin(); begin != all.values.end(); begin += kSteps)
    orders.emplace_back(begin, begin + kSteps);
  return orders;
}

std::vector<float> last_weights(const std::string& name, const ParameterLayout& layout) {
  return read_all(weights_in(kFolder / (name + "_last.safetensors"), layout), layout);
}

/// Softmax does not see K's biases: their gradient is 0, and AdamW makes steps of its rounding.
bool compared(const Parameter& parameter) { return !parameter.name.ends_with("attention.k.bias"); }

double furthest(const std::vector<double>& x, const std::vector<double>& ref) {
  EXPECT_EQ(x.size(), ref.size());
  double most = 0;
  for (size_t i = 0; i < std::min(x.size(), ref.size()); ++i) {
    if (!std::isfinite(x[i])) return INFINITY;
    most = std::max(most, std::abs(x[i] - ref[i]));
  }
  return most;
}

/// |x - ref| / |ref| over the compared weights laid end to end.
double distance(const Trained& run, const std::vector<float>& ref) {
  double difference = 0, norm = 0;
  for (const Parameter& parameter : run.layout().parameters()) {
    if (!compared(parameter)) continue;
    for (int64 i = parameter.offset; i < parameter.offset + parameter.elements(); ++i) {
      const double r = ref[static_cast<size_t>(i)], d = run.last[static_cast<size_t>(i)] - r;
      difference += d * d;
      norm += r * r;
    }
  }
  return std::sqrt(difference / norm);
}

class Trajectory : public testing::TestWithParam<std::tuple<const char*, Backend>> {};

TEST_P(Trajectory, FollowsPyTorchInFloat32) {
  const auto [name, backend] = GetParam();
  const Trained run(name, backend == Backend::reference ? "f64" : "f32", backend);
  const std::vector<double> losses = losses_of(name, "loss").front();
  const std::vector<double> norms = pytorch(name).read_list<double>("grad_norm");
  EXPECT_LE(furthest(run.losses, losses), 1e-4);
  RecordProperty("loss", fmt::format("{:.2e}", furthest(run.losses, losses)));
  EXPECT_LE(furthest(run.norms, norms), 1e-4 * *std::max_element(norms.begin(), norms.end()));

  const std::vector<float> last = last_weights(name, run.layout());
  for (const Parameter& parameter : run.layout().parameters()) {
    if (!compared(parameter)) continue;
    double most = 0, difference = 0;
    for (int64 i = parameter.offset; i < parameter.offset + parameter.elements(); ++i) {
      const double ref = last[static_cast<size_t>(i)];
      most = std::max(most, std::abs(ref));
      difference = std::max(difference, std::abs(run.last[static_cast<size_t>(i)] - ref));
    }
    EXPECT_LE(difference, 1e-4 * most) << parameter.name;
  }
  RecordProperty("distance", fmt::format("{:.2e}", distance(run, last)));
}

INSTANTIATE_TEST_SUITE_P(Golden, Trajectory,
                         testing::Combine(testing::Values("llama", "gpt2"),
                                          testing::Values(Backend::cpu, Backend::naive, Backend::reference)),
                         [](const auto& p) {
                           return fmt::format("{}_{}", std::get<0>(p.param), name_of(std::get<1>(p.param)));
                         });

class TrajectoryOf : public testing::TestWithParam<const char*> {};

TEST_P(TrajectoryOf, InBf16IsNoFurtherFromPyTorchThanItsAutocast) {
  const std::string name = GetParam();
  const auto plain = losses_of(name, "loss"), autocast = losses_of(name, "autocast/loss");
  const std::vector<double> autocast_weights = pytorch(name).read_list<double>("autocast/distance");
  double ours = 0, theirs = 0, our_weights = 0, their_weights = 0;  // sums of squares over orders and steps
  for (size_t order = 0; order < plain.size(); ++order) {
    const Trained run(name, "bf16", Backend::cpu, static_cast<int64>(order));
    for (size_t step = 0; step < kSteps; ++step) {
      ours += std::pow(run.losses[step] - plain[order][step], 2);
      theirs += std::pow(autocast[order][step] - plain[order][step], 2);
    }
    // PyTorch's last weights are kept of the first order alone; ours in f32 are the same to 3e-7, as is
    // tested above.
    const Trained exact(name, "f32", Backend::cpu, static_cast<int64>(order));
    our_weights += std::pow(distance(run, {exact.last.begin(), exact.last.end()}), 2);
    their_weights += std::pow(autocast_weights.at(order), 2);
  }
  EXPECT_LE(std::sqrt(ours), std::sqrt(theirs));
  RecordProperty("loss by autocast's", fmt::format("{:.3f}", std::sqrt(ours / theirs)));
  EXPECT_LE(std::sqrt(our_weights), std::sqrt(their_weights));
  RecordProperty("distance by autocast's", fmt::format("{:.3f}", std::sqrt(our_weights / their_weights)));
}

// A trajectory without them would not guard them.
TEST_P(TrajectoryOf, HasGrainsWarmUpDecayAndStepsThatClip) {
  const std::string name = GetParam();
  const Trained run(name, "f32");
  const TrainConfig& train = run.config().train;
  EXPECT_GE(run.grains(), 3);
  EXPECT_GT(train.warmup * 50, 2);
  EXPECT_GT(train.weight_decay, 0);
  const auto clipped =
      std::count_if(run.norms.begin(), run.norms.end(), [&](double n) { return n > train.clip; });
  EXPECT_GE(clipped, 10);
  EXPECT_LE(clipped, 40);
  const auto& parameters = run.layout().parameters();
  const auto decaying = std::count_if(parameters.begin(), parameters.end(),
                                      [](const auto& parameter) { return parameter.decay; });
  EXPECT_GT(decaying, 0);
  EXPECT_LT(decaying, static_cast<std::ptrdiff_t>(parameters.size()));
}

INSTANTIATE_TEST_SUITE_P(Golden, TrajectoryOf, testing::Values("llama", "gpt2"),
                         [](const auto& p) { return std::string(p.param); });

/// The bits that some numerics came to: a line of bits.txt.
struct Recorded {
  int64 numerics = 0;
  std::string instruction_set, build, trajectory, hash;
  bool same_place(const Recorded& other) const {
    return instruction_set == other.instruction_set && build == other.build;
  }
  bool same_run(const Recorded& other) const {
    return numerics == other.numerics && trajectory == other.trajectory;
  }
};

std::vector<Recorded> recorded() {
  std::vector<Recorded> rows;
  std::istringstream lines(read_file(kBitsFile));
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.starts_with('#')) continue;
    Recorded row;
    std::istringstream words(line);
    words >> row.numerics >> row.instruction_set >> row.build >> row.trajectory >> row.hash;
    EXPECT_TRUE(words && row.hash.size() == 32) << kBitsFile << ": " << line;
    rows.push_back(row);
  }
  return rows;
}

/// Where this program computes. Bits are promised per instruction set: the widest for our kernels, and
/// oneDNN's choice, which knows of more. The compiler, its flags and the library decide what is contracted
/// and in what order a product is summed.
Recorded here() {
  const Provenance provenance = collect_provenance(1, "cpu", {});
  std::string build = fmt::format("{} {}", provenance.compiler, provenance.flags);
  for (const BuildInfo::Feature& feature : build_info().features)
    if (feature.name == "oneDNN") build += fmt::format(" oneDNN {}", feature.version);
  std::replace(build.begin(), build.end(), ' ', '_');
  const std::string instructions =
      fmt::format("{}/{:x}", provenance.instruction_set, static_cast<unsigned>(dnnl_get_effective_cpu_isa()));
  return {0, instructions, build, "", ""};
}

std::vector<Recorded> computed() {
  std::vector<Recorded> rows;
  for (const char* name : {"llama", "gpt2"})
    for (const char* precision : {"f32", "bf16"}) {
      rows.push_back(here());
      rows.back().numerics = numerics_of(precision);
      rows.back().trajectory = fmt::format("{}_{}", name, precision);
      rows.back().hash = Trained(name, precision).hash();
    }
  return rows;
}

void record(const std::vector<Recorded>& rows) {
  std::string text = read_file(kBitsFile);
  for (const Recorded& row : rows)
    text += fmt::format("{} {} {} {} {}\n", row.numerics, row.instruction_set, row.build, row.trajectory,
                        row.hash);
  write_file_atomically(kBitsFile, text);
}

// What numerics promises: the same number, the same bits.
TEST(Numerics, IsRaisedWhenATrajectoryMovesABit) {
  const std::vector<Recorded> now = computed();
  std::vector<Recorded> known = recorded();
  const auto find = [&](const Recorded& row, bool anywhere) {
    return std::find_if(known.begin(), known.end(), [&](const Recorded& other) {
      return other.same_run(row) && (anywhere || other.same_place(row));
    });
  };
  if (std::getenv("FOVEA_RECORD_BITS")) {
    std::vector<Recorded> fresh = now;
    std::erase_if(fresh, [&](const Recorded& row) { return find(row, false) != known.end(); });
    record(fresh);
    known = recorded();
  }
  for (const Recorded& row : now) {
    ASSERT_NE(find(row, true), known.end()) << "no bits are recorded of " << row.trajectory << ", numerics "
                                            << row.numerics << " (CONTRIBUTING.md says how to raise it)";
    const auto then = find(row, false);
    if (then == known.end())
      GTEST_SKIP() << "no bits of " << row.trajectory << ", numerics " << row.numerics << ", are recorded on "
                   << row.instruction_set << " by " << row.build
                   << ": CONTRIBUTING.md says how to record them";
    EXPECT_EQ(row.hash, then->hash) << row.trajectory
                                    << " came to other bits: raise its numerics (CONTRIBUTING.md says how)";
  }
}

}  // namespace
}  // namespace fovea
