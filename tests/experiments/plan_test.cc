// What a configuration asks for: the runs of a study, their order, and what names them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "experiments/study_plan.h"
#include "tests/config/helpers.h"
#include "train/schedule.h"

namespace fovea {
namespace {

using testing::Contains;
using testing::Each;
using testing::ElementsAre;

constexpr const char* kGqa = R"(
[study]
kind = "gqa"
name = "heads"
seeds = [3, 5]
[model]
layers = 1
width = 32
q_heads = 4
context = 16
[train]
tokens = 12_800   # 100 steps of 8 x 16
batch = 8
lr = 4e-3
schedule = "cosine"
[gqa]
kv_heads = [2, 1]
inits = ["mean", "first"]
alphas = [0, 0.02, 0.1]
)";

std::vector<std::string> run_names(const StudyPlan& plan) {
  std::vector<std::string> names;
  for (const PlannedRun& run : plan.runs) names.push_back(run.name);
  return names;
}

class GqaPlan : public testing::Test {
 protected:
  StudyPlan plan_with(const std::vector<std::string>& overrides) const {
    return plan_study(folder_.load(kGqa, overrides));
  }
  const PlannedRun& run(const std::string& name) const {
    const auto found = std::find_if(plan_.runs.begin(), plan_.runs.end(),
                                    [&](const PlannedRun& planned) { return planned.name == name; });
    FOVEA_CHECK(found != plan_.runs.end(), "no run {}", name);
    return *found;
  }

  Folder folder_;
  StudyPlan plan_ = plan_with({});
};

TEST_F(GqaPlan, NamesEveryRunOnceInOrder) {
  EXPECT_EQ(plan_.name, "heads");
  EXPECT_EQ(plan_.kind, "gqa");
  const std::vector<std::string> names = run_names(plan_);
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
  EXPECT_THAT(std::vector<std::string>(names.begin(), names.begin() + 17),
              ElementsAre("mha-s3", "g2-mean-a0-s3", "g2-mean-a0.02-s3", "g2-mean-a0.1-s3", "g2-first-a0-s3",
                          "g2-first-a0.02-s3", "g2-first-a0.1-s3", "g2-scratch-s3", "g1-mean-a0-s3",
                          "g1-mean-a0.02-s3", "g1-mean-a0.1-s3", "g1-first-a0-s3", "g1-first-a0.02-s3",
                          "g1-first-a0.1-s3", "g1-scratch-s3", "mha-a0.02-s3", "mha-a0.1-s3"));
  ASSERT_EQ(names.size(), 34U) << "each seed has all of them";
  EXPECT_EQ(names[17], "mha-s5");
}

TEST_F(GqaPlan, EveryRunComesAfterTheOneItStartsFrom) {
  std::set<std::string> before;
  for (const PlannedRun& planned : plan_.runs) {
    EXPECT_TRUE(planned.baseline.empty() || before.contains(planned.baseline)) << planned.name;
    before.insert(planned.name);
  }
}

TEST_F(GqaPlan, StartsFromTheBaselineOfItsOwnSeed) {
  for (const PlannedRun& planned : plan_.runs) {
    const std::string own = fmt::format("mha-s{}", planned.seed);
    const bool fresh = planned.role == RunRole::baseline || planned.role == RunRole::control_scratch;
    EXPECT_EQ(planned.baseline, fresh ? "" : own) << planned.name;
    EXPECT_EQ(planned.config.train.seed, planned.seed) << planned.name;
  }
}

TEST_F(GqaPlan, RolesAndHeadsFollowFromWhatTheRunIs) {
  EXPECT_EQ(run("mha-s3").role, RunRole::baseline);
  EXPECT_EQ(run("g2-mean-a0-s3").role, RunRole::converted);
  EXPECT_EQ(run("g2-mean-a0.02-s3").role, RunRole::uptrained);
  EXPECT_EQ(run("mha-a0.02-s3").role, RunRole::control_mha);
  EXPECT_EQ(run("g1-scratch-s3").role, RunRole::control_scratch);
  EXPECT_EQ(run("g1-first-a0.1-s5").config.model.kv_heads, 1);
  EXPECT_EQ(run("g1-first-a0.1-s5").config.init.conversion, "first");
  EXPECT_EQ(run("mha-a0.1-s3").config.init.conversion, "none");
  EXPECT_EQ(run("g2-scratch-s3").config.init.conversion, "none");
  EXPECT_EQ(run("g2-scratch-s3").config.model.kv_heads, 2);
}

TEST_F(GqaPlan, AConversionOfTwoWordsIsOneInTheName) {
  const StudyPlan plan = plan_with({"gqa.kv_heads=[2]", "study.seeds=[0]", "gqa.inits=[\"aligned similar\"]",
                                    "gqa.alphas=[0]", "gqa.control_scratch=false"});
  EXPECT_THAT(run_names(plan), ElementsAre("mha-s0", "g2-aligned-similar-a0-s0"));
  EXPECT_EQ(plan.runs[1].config.init.conversion, "aligned similar");
}

TEST_F(GqaPlan, UptrainsForAPartOfTheBaselinesSteps) {
  ASSERT_EQ(total_steps(run("mha-s3").config), 100);
  for (const char* kind : {"g2-mean", "g1-first", "mha"}) {
    EXPECT_EQ(total_steps(run(fmt::format("{}-a0.02-s3", kind)).config), 2) << kind;
    EXPECT_EQ(total_steps(run(fmt::format("{}-a0.1-s3", kind)).config), 10) << kind;
  }
  EXPECT_EQ(total_steps(run("g2-mean-a0-s3").config), 0) << "converted, not trained";
  EXPECT_EQ(total_steps(run("g2-scratch-s3").config), 100) << "from scratch: as long as the baseline";
  EXPECT_DOUBLE_EQ(run("g2-mean-a0.02-s3").alpha, 0.02);
  EXPECT_EQ(run("mha-s3").alpha, 0);
}

TEST_F(GqaPlan, AnAlphaAboveZeroIsOneStepAtLeast) {
  const StudyPlan plan = plan_with({"gqa.alphas=[0.0001]"});
  EXPECT_EQ(total_steps(plan.runs[1].config), 1);
}

TEST_F(GqaPlan, UptrainingHasItsOwnSchedule) {
  for (const char* name : {"g2-mean-a0.1-s3", "g1-first-a0.02-s5", "mha-a0.1-s3"}) {
    const TrainConfig& train = run(name).config.train;
    EXPECT_DOUBLE_EQ(train.lr, 2e-3) << name << ": half the baseline's peak";
    EXPECT_EQ(train.schedule, "linear") << name;
    EXPECT_DOUBLE_EQ(train.warmup, 0.05) << name;
    EXPECT_EQ(run(name).sources.at("train.lr"), "study gqa") << name;
  }
  for (const char* name : {"mha-s3", "g2-scratch-s3"}) {
    EXPECT_DOUBLE_EQ(run(name).config.train.lr, 4e-3) << name;
    EXPECT_EQ(run(name).config.train.schedule, "cosine") << name;
  }
}

TEST_F(GqaPlan, UptrainingReadsOnWhereTheBaselineEnded) {
  for (const PlannedRun& planned : plan_.runs)
    EXPECT_EQ(planned.first_sample, planned.baseline.empty() ? 0 : 100 * 8) << planned.name;
}

TEST_F(GqaPlan, ControlsCanBeLeftOut) {
  const StudyPlan plan = plan_with({"gqa.control_mha=false", "gqa.control_scratch=false", "study.seeds=[0]",
                                    "gqa.inits=[\"mean\"]", "gqa.alphas=[0]"});
  EXPECT_THAT(run_names(plan), ElementsAre("mha-s0", "g2-mean-a0-s0", "g1-mean-a0-s0"));
}

TEST_F(GqaPlan, HalvesTheHeadsWhenNoneAreNamed) {
  const StudyPlan plan = plan_with({"gqa.kv_heads=[]", "model.q_heads=8", "study.seeds=[0]",
                                    "gqa.inits=[\"mean\"]", "gqa.alphas=[0]", "gqa.control_scratch=false"});
  EXPECT_THAT(run_names(plan), ElementsAre("mha-s0", "g4-mean-a0-s0", "g2-mean-a0-s0", "g1-mean-a0-s0"));
}

TEST_F(GqaPlan, HeadsOfTheBaselineItselfAreNoConversion) {
  const StudyPlan plan = plan_with({"gqa.kv_heads=[4, 2]", "study.seeds=[0]", "gqa.inits=[\"mean\"]",
                                    "gqa.alphas=[0]", "gqa.control_scratch=false"});
  EXPECT_THAT(run_names(plan), ElementsAre("mha-s0", "g2-mean-a0-s0"));
}

TEST_F(GqaPlan, ASweepPlansEachPointUnderItsName) {
  const StudyPlan plan = plan_with({"sweep.model.layers=[1, 2]", "study.seeds=[0]", "gqa.kv_heads=[1]",
                                    "gqa.inits=[\"mean\"]", "gqa.alphas=[0]", "gqa.control_scratch=false"});
  EXPECT_THAT(run_names(plan), ElementsAre("layers=1,mha-s0", "layers=1,g1-mean-a0-s0", "layers=2,mha-s0",
                                           "layers=2,g1-mean-a0-s0"));
  EXPECT_EQ(plan.runs[3].baseline, "layers=2,mha-s0");
  EXPECT_EQ(plan.runs[3].config.model.layers, 2);
}

TEST(TrainPlan, OneRunPerPointAndSeed) {
  const Folder folder;
  const StudyPlan plan =
      plan_study(folder.load("study.seeds = [1, 2]\n[sweep]\n\"train.lr\" = [1e-3, 2e-3]\n"));
  EXPECT_EQ(plan.name, "x") << "the file's stem";
  EXPECT_EQ(plan.kind, "train");
  EXPECT_THAT(run_names(plan),
              ElementsAre("lr=0.001,seed=1", "lr=0.001,seed=2", "lr=0.002,seed=1", "lr=0.002,seed=2"));
  EXPECT_EQ(plan.runs[3].config.train.lr, 2e-3);
  EXPECT_EQ(plan.runs[3].seed, 2);
  for (const PlannedRun& run : plan.runs) {
    EXPECT_EQ(run.role, RunRole::train);
    EXPECT_EQ(run.baseline, "");
    EXPECT_EQ(run.first_sample, 0);
  }
  EXPECT_THAT(plan.config_text, testing::HasSubstr("[sweep]"));
}

TEST(TrainPlan, NamesAreFitForFiles) {
  const Folder folder;
  const StudyPlan plan = plan_study(folder.load(
      "[sweep]\n\"data.corpus\" = [\"a/b c.txt\", \"../d.txt\"]\n\"train.recompute\" = [\"every 2\"]\n"));
  for (const std::string& name : run_names(plan))
    EXPECT_EQ(name.find_first_of("/ \\\n"), std::string::npos) << name;
}

}  // namespace
}  // namespace fovea
