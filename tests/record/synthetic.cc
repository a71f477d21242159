#include "synthetic.h"

#include <cmath>
#include <cstdlib>
#include <random>

#include "core/error.h"
#include "record/run_file.h"
#include "record/study_index.h"

namespace fovea::test {

TemporaryDirectory::TemporaryDirectory() {
  std::string name = (std::filesystem::temp_directory_path() / "fovea-record-XXXXXX").string();
  FOVEA_CHECK(::mkdtemp(name.data()) != nullptr, "{}", name);
  path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

RunRecord full_record() {
  RunRecord r;
  r.name = "gqa-4 & <mean>";
  r.identity = "0123456789abcdef0123456789abcdef";
  r.state = RunState::done;
  r.role = RunRole::uptrained;
  r.error = "nothing, \"really\"";
  r.config = "# α\n[model]\nlayers = 4\n" + std::string(100000, '#') + "\n";
  r.attributes = {{"train.lr", 2e-3, "1", "base.toml:3:1"},
                  {"model.layers", int64{4}, "", "default"},
                  {"data.documents", true, "", "command line"},
                  {"study.name", std::string("erste Kurve, grün"), "", "default"},
                  {"study.seeds", std::vector<int64>{0, 1, 2}, "", "default"},
                  {"gqa.alphas", std::vector<double>{0, 0.05, 0.1}, "fraction", "default"},
                  {"model.attention", std::vector<std::string>{"full", "window"}, "", "default"},
                  {"gqa.inits", std::vector<std::string>{}, "", "default"}};
  r.provenance = {"0.1.0",
                  std::string(40, 'a'),
                  true,
                  "gcc 12.2.0",
                  "-O3",
                  "host",
                  "A CPU @ 3 GHz",
                  "avx2",
                  2,
                  int64{8} << 30,
                  2,
                  "cpu",
                  "2026-11-25T12:00:00Z",
                  "2026-11-25T12:05:00Z",
                  "fovea run 'a b'",
                  "portable"};
  r.seed = 7;
  r.corpus = {"King James Bible", "fedcba98"};
  r.lineage = {"base-identity", "step-122", "mean", 0.05, 8, 4};
  r.counts = {812345, 100000, 4.9e6, 2048};
  for (int64 i = 1; i <= 1000; ++i) {
    r.series.step.push_back(i);
    r.series.tokens.push_back(i * 4096);
    const double x = static_cast<double>(i);
    r.series.train_loss.push_back(i == 500 ? std::nan("") : 1.2 + 4 / std::sqrt(x));
    r.series.lr.push_back(1e-3 / x);
    r.series.grad_norm.push_back(1 + 1 / x);
    r.series.tokens_per_second.push_back(1e4 + x);
    r.series.flops_per_second.push_back(4.9e10 + x);
  }
  r.evaluations = {{0, 5.5, 7.9}, {500, 1.5, 2.1}, {1000, 1.31, 1.89}};
  r.memory = {100 << 20, 104 << 20, 12 << 20};
  r.seconds = 61.5;
  r.step_seconds = 0.25;
  r.profile = StepProfile{7,
                          10,
                          1e9,
                          4e9,
                          2e9,
                          {{"matmul a b^T", 21, 6, 3e9, 1e9, "f32"},
                           {"attention", 7, 2, 4e9, 2e9, "bf16"},
                           {"fill_zero", 7, 0.5, 0, 1e9, "f32"},
                           {"scratch", 7, 0.25, 0, 0, "f32"}}};
  return r;
}

Inspection synthetic_inspection(int64 layers, int64 heads, uint64 seed) {
  std::mt19937 random(static_cast<uint32>(seed));
  std::uniform_real_distribution<double> uniform(0, 1);
  const auto drawn = [&](int64 n, double most) {
    std::vector<double> values(static_cast<size_t>(n));
    for (double& value : values) value = most * uniform(random);
    return values;
  };
  const auto statistics = [&](double loss) {
    ModelStatistics s;
    s.loss = loss + uniform(random);
    for (const auto& column : head_columns()) s.heads.*column.values = drawn(layers * heads, 1);
    for (double& entropy : s.heads.entropy) entropy *= 4;
    for (double& deviation : s.heads.score_deviation) deviation *= 9;
    for (const auto& column : gradient_columns()) s.gradients.*column.values = drawn(layers, 0.3);
    return s;
  };
  Inspection i;
  i.model = "runs/study/one";
  i.weights = std::string(32, 'b');
  i.text = "held out of kjv";
  i.provenance = full_record().provenance;
  i.layers = layers;
  i.q_heads = heads;
  i.head_dim = 64;
  i.kv_heads.assign(static_cast<size_t>(layers), heads);
  i.windows.assign(static_cast<size_t>(layers), 0);
  i.windows[0] = 16;
  i.attention_scale = 0.125;
  i.sequences = 8;
  i.length = 128;
  i.repeated = 64;
  i.trained = statistics(1.4);
  i.initial = statistics(5);
  i.cosines.heads = 2;
  i.cosines.groups = heads / 2;
  for (const auto& column : cosine_columns()) i.cosines.*column.values = drawn(layers * i.cosines.groups, 1);
  return i;
}

namespace {

class StudyWriter {
 public:
  StudyWriter(std::filesystem::path directory, std::string name, std::string kind)
      : directory_(std::move(directory)), random_(1) {
    index_.name = std::move(name);
    index_.kind = std::move(kind);
    index_.config = "[study]\nkind = \"" + index_.kind + "\"\n";
  }

  void add(RunRole role, int64 kv_heads, const std::string& conversion, double alpha, int64 seed, double loss,
           int64 tokens) {
    RunRecord r = full_record();
    r.role = role;
    if (role != RunRole::baseline || seed > 0) r.profile.reset();
    r.error.clear();
    r.config = index_.config;
    r.name = fmt::format("{}-g{}-{}-a{:g}-s{}", name_of(role), kv_heads, conversion, alpha, seed);
    r.seed = seed;
    const bool drawn =
        role == RunRole::train || role == RunRole::baseline || role == RunRole::control_scratch;
    r.identity = role == RunRole::baseline ? baseline_of(seed) : "identity of " + r.name;
    r.lineage.baseline = drawn ? "" : baseline_of(seed);
    r.lineage.conversion = conversion;
    r.lineage.alpha = alpha;
    r.lineage.kv_heads = kv_heads;
    r.counts.tokens = tokens;
    r.counts.parameters = 800000 + kv_heads * 16384;
    r.counts.kv_bytes_per_token = kv_heads * 16 * 2 * 4 * 4;
    const double final_loss = loss + 0.006 * noise_(random_);
    fill_series(r, tokens, final_loss);
    r.memory.predicted_bytes = (60 << 20) + kv_heads * 1500000;
    r.memory.measured_peak_bytes =
        static_cast<int64>(static_cast<double>(r.memory.predicted_bytes) * (1.03 + 0.01 * noise_(random_)));
    r.seconds = static_cast<double>(tokens) / 40000;
    std::filesystem::create_directories(directory_ / r.name);
    write_run_file(directory_ / r.name / kRunFileName, r);
    index_.runs.push_back({r.name, r.identity, role, r.name, RunState::done, {}, ""});
  }

  void add_failed(const std::string& name, const std::string& error) {
    index_.runs.push_back({name, "ffff", RunRole::uptrained, name, RunState::failed, {}, error});
  }
  void judge_by(const std::vector<ClaimFile>& claims) { index_.claims = claims; }
  void finish() { write_study_index(directory_, index_); }

 private:
  static std::string baseline_of(int64 seed) { return fmt::format("baseline of seed {}", seed); }
  void fill_series(RunRecord& r, int64 tokens, double final_loss) {
    r.series = {};
    const int64 steps = std::max<int64>(tokens / 4096, 0);
    const bool uptrained = r.role == RunRole::uptrained || r.role == RunRole::control_mha;
    for (int64 i = 1; i <= steps; ++i) {
      const double done = static_cast<double>(i) / static_cast<double>(steps);
      const double start = uptrained ? final_loss + 0.4 : 5.5;
      const double loss =
          final_loss + (start - final_loss) * std::exp(-6 * std::pow(done, 0.6)) + 0.02 * noise_(random_);
      r.series.step.push_back(i);
      r.series.tokens.push_back(i * 4096);
      r.series.train_loss.push_back(loss);
      r.series.lr.push_back(2e-3 * (1 - done));
      r.series.grad_norm.push_back(0.7 + 0.1 * noise_(random_));
      r.series.tokens_per_second.push_back(4e4);
      r.series.flops_per_second.push_back(5e10);
    }
    r.evaluations = {{steps, final_loss, final_loss / std::log(2.0)}};
  }

  std::filesystem::path directory_;
  StudyIndex index_;
  std::mt19937 random_;
  std::normal_distribution<double> noise_;
};

}  // namespace

void write_gqa_study(const std::filesystem::path& directory, int seeds, const StudyTraits& traits) {
  StudyWriter study(directory, "GQA on the King James Bible", "gqa");
  const int64 tokens = traits.small ? 81920 : 2000000;
  const auto part = [&](double alpha) { return static_cast<int64>(alpha * static_cast<double>(tokens)); };
  const std::vector<double> alphas =
      traits.small ? std::vector{0.0, 0.05} : std::vector{0.0, 0.01, 0.02, 0.05, 0.1};
  const auto uptrained = [](int64 kv_heads, double init, double alpha) {
    const double damage = init * std::log2(8.0 / static_cast<double>(kv_heads));
    return 1.50 - 0.2 * alpha + 0.012 * std::log2(8.0 / static_cast<double>(kv_heads)) +
           damage * std::exp(-38 * std::sqrt(alpha / 3));
  };
  for (int64 seed = 0; seed < seeds; ++seed) {
    study.add(RunRole::baseline, 8, "none", 0, seed, 1.50, tokens);
    for (const int64 kv_heads : {4, 2, 1}) {
      if (traits.small && kv_heads == 2) continue;
      for (const double alpha : alphas)
        for (const auto& [name, init] : {std::pair{"mean", 1.1}, {"first", 1.9}, {"random", 2.0}})
          study.add(alpha > 0 ? RunRole::uptrained : RunRole::converted, kv_heads, name, alpha, seed,
                    uptrained(kv_heads, init, alpha) +
                        (name == std::string("random") ? 4 * std::sqrt(alpha) * 0.15 : 0) +
                        (name == std::string("mean") ? traits.wrong_mean : 0),
                    part(alpha));
      study.add(RunRole::control_scratch, kv_heads, "none", 0.1, seed, 1.53, tokens * 11 / 10);
    }
    for (const double alpha : alphas)
      if (alpha > 0) study.add(RunRole::control_mha, 8, "none", alpha, seed, 1.50 - 0.2 * alpha, part(alpha));
  }
  if (!traits.small) {
    study.add_failed("uptrained-g1-mean-a0.2-s0", "step 12: layer 3: the loss is not finite");
    study.add_failed("uptrained-g1-first-a0.2-s0", "");
  }
  study.judge_by(traits.claims);
  study.finish();
}

void write_conversions_study(const std::filesystem::path& directory,
                             const std::vector<std::string>& conversions) {
  StudyWriter study(directory, "conversions", "gqa");
  study.add(RunRole::baseline, 8, "none", 0, 0, 1.5, 2000000);
  double loss = 1.6;
  for (const std::string& conversion : conversions)
    for (const int64 kv_heads : {4, 1})
      for (const double alpha : {0.0, 0.1})
        study.add(alpha > 0 ? RunRole::uptrained : RunRole::converted, kv_heads, conversion, alpha, 0,
                  loss += 0.05, static_cast<int64>(alpha * 2000000));
  study.finish();
}

void write_train_study(const std::filesystem::path& directory, int runs) {
  StudyWriter study(directory, "Windows", "train");
  for (int64 run = 0; run < runs; ++run) study.add(RunRole::train, 8, "none", 0, run, 1.6, 400000);
  study.finish();
}

}  // namespace fovea::test
