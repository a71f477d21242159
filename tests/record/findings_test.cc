// What the report says in words, and by which intervals.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <regex>

#include "expect_error.h"
#include "record/report/cited.h"
#include "record/report/study.h"
#include "record/run_file.h"
#include "record/study_index.h"
#include "synthetic.h"

namespace fovea {
namespace {

using test::TemporaryDirectory;
using testing::HasSubstr;

/// The findings of a study whose plain runs have these losses, a row per configuration and a column per seed.
std::string findings_of(const std::vector<std::vector<double>>& losses,
                        const std::function<void(RunRecord&)>& change = {}) {
  const TemporaryDirectory directory;
  StudyIndex index{"heads", "train", "", {}, {}};
  for (size_t k = 0; k < losses.size(); ++k)
    for (size_t seed = 0; seed < losses[k].size(); ++seed) {
      RunRecord r = test::full_record();
      r.role = RunRole::train;
      r.name = fmt::format("hidden={},seed={}", k, seed);
      r.seed = static_cast<int64>(seed);
      r.lineage = {};
      r.memory = {};
      r.attributes = {{"model.hidden", static_cast<int64>(k), "", ""}, {"train.seed", r.seed, "", ""}};
      r.evaluations = {{1000, losses[k][seed], 1}};
      if (change) change(r);
      std::filesystem::create_directories(directory / r.name);
      write_run_file(directory / r.name / kRunFileName, r);
      index.runs.push_back({r.name, r.identity, r.role, r.name, RunState::done, {}, ""});
    }
  write_study_index(directory.path(), index);
  std::string words;
  for (const std::string& finding : report::findings(report::load_study(directory.path())))
    words += finding + "\n";
  return std::regex_replace(words, std::regex("<[^>]*>"), "");
}

TEST(Findings, CurvesThatOverlapAreNotRanked) {
  // seeds scatter by 0.1 and tell nothing of the difference, which is the same for each
  EXPECT_EQ(findings_of({{1.30, 1.40, 1.50}, {1.3209, 1.42, 1.5191}}),
            "The lowest mean held-out loss is 1.400 nat/token ± 0.248, by hidden=0,seed=0. The next is "
            "hidden=1,seed=0, 0.020 ± 0.002 above it.\n");
  // the same means, and seeds that do not agree
  EXPECT_EQ(
      findings_of({{1.30, 1.40, 1.50}, {1.52, 1.42, 1.32}}),
      "The lowest mean held-out loss is 1.400 nat/token ± 0.248, by hidden=0,seed=0. It is not ranked before "
      "hidden=1,seed=0 (1.420): the seeds do not tell them apart.\n");
  EXPECT_EQ(findings_of({{1.30}, {1.90}}),
            "The lowest mean held-out loss is 1.300 nat/token, by hidden=0,seed=0. It is not ranked before "
            "hidden=1,seed=0 (1.900): one seed does not tell them apart.\n");
  // the second is told from the first, the third is not
  EXPECT_THAT(findings_of({{1.30, 1.40, 1.50}, {1.32, 1.421, 1.519}, {1.30, 1.40, 1.60}}),
              HasSubstr("It is not ranked before hidden=2,seed=0 (1.433)"));
}

// A conversion that trains nothing does not fill the gradients and moments that were foreseen.
TEST(Findings, MemoryIsThatOfRunsThatTrain) {
  const auto measured = [](RunRecord& r) {
    const bool trains = r.name != "hidden=2,seed=0";
    r.counts.tokens = trains ? 1000 : 0;
    r.memory.predicted_bytes = 100;
    r.memory.measured_peak_bytes = !trains ? 40 : r.name == "hidden=0,seed=0" ? 98 : 103;
  };
  EXPECT_THAT(
      findings_of({{1.3}, {1.4}, {1.5}}, measured),
      HasSubstr("The measured peak of memory is 0.98 to 1.03 times the prediction, over 2 runs that train."));
}

// A backend's results are its own: a run with another is no second seed.
TEST(Groups, DifferInWhatIdentifiesARun) {
  for (const char* path : {"run.backend", "model.hidden", "train.recompute", "init.from"})
    EXPECT_FALSE(report::is_aside(path)) << path;
  for (const char* path : {"train.seed", "run.threads", "run.tensorboard", "study.seeds", "data.cache"})
    EXPECT_TRUE(report::is_aside(path)) << path;
}

TEST(Cited, IntervalsAreTheTextbooks) {
  using namespace report;
  const Sample a = {{1.0, ""}, {1.2, ""}, {1.4, ""}};
  EXPECT_NEAR(interval(a), 4.30265273 * 0.2 / std::sqrt(3.0), 1e-8);
  EXPECT_TRUE(std::isnan(interval({{1.0, ""}})));
  const Contrast paired = difference({{1.1, ""}, {1.3, ""}, {1.5, ""}}, a);
  EXPECT_NEAR(derive(Part::low, paired), 0.1, 1e-12) << "what all seeds agree on has no interval";
  EXPECT_NEAR(derive(Part::high, paired), 0.1, 1e-12);
}

}  // namespace
}  // namespace fovea
