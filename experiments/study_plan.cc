#include "experiments/study_plan.h"

#include <filesystem>

#include "experiments/claim_files.h"

namespace fovea {

StudyPlan plan_study(const LoadedConfig& loaded) {
  StudyPlan plan;
  plan.kind = loaded.config.study.kind;
  plan.name = loaded.config.study.name;
  if (plan.name.empty()) plan.name = std::filesystem::path(loaded.path).stem().string();
  plan.config_text = loaded.raw_text;
  plan.claims = read_claim_files(loaded.claim_files);
  for (const RunVariant& variant : expand(loaded)) {
    if (plan.kind == "gqa") {
      for (PlannedRun& run : plan_gqa(variant)) plan.runs.push_back(std::move(run));
    } else {
      plan.runs.push_back({.name = variant.name.empty() ? plan.name : variant.name,
                           .config = variant.config,
                           .sources = variant.sources,
                           .seed = variant.config.train.seed});
    }
  }
  return plan;
}

}  // namespace fovea
