#include <algorithm>
#include <cmath>

#include "experiments/study_plan.h"
#include "train/plan.h"
#include "train/schedule.h"

namespace fovea {
namespace {

std::string prefixed(const RunVariant& variant, const std::string& name, int64 seed) {
  return fmt::format("{}{}{}-s{}", variant.name, variant.name.empty() ? "" : ",", name, seed);
}

// One seed's runs.
class GqaRuns {
 public:
  GqaRuns(const RunVariant& variant, int64 seed) : variant_(variant), seed_(seed) {
    base_ = variant.config;
    base_.train.seed = seed;
    baseline_steps_ = total_steps(base_);
    baseline_name_ = prefixed(variant, "mha", seed);
  }

  std::vector<PlannedRun> plan() {
    add("mha", RunRole::baseline, base_);
    const GqaConfig& gqa = base_.gqa;
    for (const int64 kv_heads : kv_heads_list()) {
      for (const std::string& init : gqa.inits)
        for (const double alpha : gqa.alphas) add_uptrained(kv_heads, init, alpha);
      if (gqa.control_scratch) {
        Config config = base_;
        config.model.kv_heads = kv_heads;
        add(fmt::format("g{}-scratch", kv_heads), RunRole::control_scratch, config);
      }
    }
    if (gqa.control_mha)
      for (const double alpha : gqa.alphas)
        if (alpha > 0) add(fmt::format("mha-a{}", alpha), RunRole::control_mha, uptraining(alpha), alpha);
    return std::move(runs_);
  }

 private:
  // Fewer than the query heads; more cannot be made of a baseline that shares already.
  std::vector<int64> kv_heads_list() const {
    const int64 most = base_.model.kv_heads ? base_.model.kv_heads : base_.model.q_heads;
    std::vector<int64> list = base_.gqa.kv_heads;
    if (list.empty())
      for (int64 heads = most / 2; heads >= 1; heads /= 2) list.push_back(heads);
    std::erase_if(list, [&](int64 heads) { return heads >= most; });
    return list;
  }

  Config uptraining(double alpha) const {
    Config config = base_;
    const StepShape shape = step_shape(base_);
    const auto steps = static_cast<int64>(std::llround(alpha * static_cast<double>(baseline_steps_)));
    config.train.tokens = alpha > 0 ? std::max<int64>(1, steps) * shape.sequences * shape.length : 0;
    config.train.lr = base_.train.lr * base_.gqa.uptrain_lr_fraction;
    config.train.schedule = "linear";
    config.train.warmup = base_.gqa.uptrain_warmup;
    return config;
  }

  void add_uptrained(int64 kv_heads, const std::string& init, double alpha) {
    Config config = uptraining(alpha);
    config.model.kv_heads = kv_heads;
    config.init.conversion = init;
    std::string word = init;
    std::ranges::replace(word, ' ', '-');  // "aligned similar": a name is one word
    add(fmt::format("g{}-{}-a{}", kv_heads, word, alpha), alpha > 0 ? RunRole::uptrained : RunRole::converted,
        config, alpha);
  }

  void add(const std::string& name, RunRole role, const Config& config, double alpha = 0) {
    PlannedRun run{.name = prefixed(variant_, name, seed_),
                   .role = role,
                   .config = config,
                   .sources = variant_.sources,
                   .alpha = alpha,
                   .seed = seed_};
    run.sources["train.seed"] = "study.seeds";
    if (role != RunRole::baseline && role != RunRole::control_scratch) {
      run.baseline = baseline_name_;
      run.first_sample = baseline_steps_ * base_.train.batch;
      for (const char* key : {"train.tokens", "train.lr", "train.schedule", "train.warmup"})
        run.sources[key] = "study gqa";
    }
    if (config.model.kv_heads != base_.model.kv_heads) run.sources["model.kv_heads"] = "study gqa";
    if (config.init.conversion != "none") run.sources["init.conversion"] = "study gqa";
    runs_.push_back(std::move(run));
  }

  const RunVariant& variant_;
  int64 seed_, baseline_steps_ = 0;
  Config base_;
  std::string baseline_name_;
  std::vector<PlannedRun> runs_;
};

}  // namespace

std::vector<PlannedRun> plan_gqa(const RunVariant& variant) {
  std::vector<PlannedRun> runs;
  for (const int64 seed : variant.config.study.seeds)
    for (PlannedRun& run : GqaRuns(variant, seed).plan()) runs.push_back(std::move(run));
  return runs;
}

}  // namespace fovea
