// The claims that are shipped, held against the studies that they read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "experiments/claim_files.h"
#include "experiments/study_plan.h"
#include "model/decoder.h"
#include "model/families.h"
#include "tests/config/helpers.h"

namespace fovea {
namespace {

constexpr int64 kBytes = 256;  // vocabulary

StudyPlan planned(const std::string& name, const std::vector<std::string>& overrides = {}) {
  return plan_study(load_config(FOVEA_SOURCE_ROOT "/configs/" + name, overrides));
}

/// What a finished run would say of itself.
RunRecord record_of(const PlannedRun& run) {
  RunRecord record;
  record.name = run.name;
  record.role = run.role;
  record.seed = run.seed;
  const DecoderShape shape = decoder_shape(run.config.model, kBytes);
  record.lineage.conversion = run.config.init.conversion;
  record.lineage.alpha = run.alpha;
  record.lineage.q_heads = shape.q_heads;
  record.lineage.kv_heads = run.config.model.kv_heads ? run.config.model.kv_heads : run.config.model.q_heads;
  for (const ResolvedValue& value : resolved_values(run.config, run.sources))
    record.attributes.push_back(
        {value.path, std::visit([](const auto& v) -> AttributeValue { return v; }, value.value), "", ""});
  return record;
}

void expect_a_run_per_seed(const StudyPlan& plan, const std::vector<Claim>& claims) {
  std::vector<RunRecord> records;
  for (const PlannedRun& run : plan.runs) records.push_back(record_of(run));
  for (const Claim& claim : claims)
    for (const Term& term : claim.terms) {
      std::map<int64, std::string> of_seed;
      for (const RunRecord& record : records) {
        const bool meant = std::all_of(term.runs.begin(), term.runs.end(),
                                       [&](const Condition& condition) { return meets(record, condition); });
        if (!meant) continue;
        EXPECT_TRUE(of_seed.emplace(record.seed, record.name).second)
            << claim.where << ": " << of_seed[record.seed] << " and " << record.name;
      }
      EXPECT_EQ(of_seed.size(), 3U) << claim.where << " " << text_of(term.runs);
    }
}

TEST(ShippedClaims, ChooseRunsOfTheirStudies) {
  const StudyPlan heads = planned("heads.toml");
  ASSERT_EQ(heads.claims.size(), 1U);
  expect_a_run_per_seed(heads, parse_claims(heads.claims[0]));
  const StudyPlan gqa =
      planned("gqa.toml", {R"(gqa.inits=["mean", "mean_scaled", "first", "random", "aligned",
                                              "aligned similar", "aligned_unscaled"])"});
  ASSERT_EQ(gqa.claims.size(), 1U);
  expect_a_run_per_seed(gqa, parse_claims(gqa.claims[0]));
}

TEST(ShippedClaims, CompareModelsOfAsManyParameters) {
  double least = INFINITY, most = 0;
  for (const PlannedRun& run : planned("heads.toml").runs) {
    const Decoder decoder(decoder_shape(run.config.model, kBytes));
    double parameters = 0;
    for (const Parameter& p : decoder.layout().parameters()) parameters += static_cast<double>(p.elements());
    least = std::min(least, parameters);
    most = std::max(most, parameters);
  }
  EXPECT_LT(most / least, 1.01);
}

TEST(ClaimFiles, KeysAreThoseOfTheConfiguration) {
  const Folder folder;
  const auto error_of = [&](const std::string& runs) {
    const std::string file = folder.write(
        "c.toml",
        "study = 'x'\nsource = 'x'\n[[claim]]\nname = 'x'\nsays = 'x'\nstatistic = 'level'\nof = {" + runs +
            "}\nrelation = '<'\nthreshold = 0\n");
    try {
      read_claim_files({file});
    } catch (const UserError& error) {
      return folder.relative(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(error_of("model.hidden = 3, alpha = 0"), "no error");
  EXPECT_EQ(error_of("model.hiden = 3"),
            "c.toml:7:13: model.hiden is no key of the configuration: did you mean model.hidden?");
  EXPECT_EQ(error_of("no.such.thing = 3"),
            "c.toml:7:15: no.such.thing is no key of the configuration: docs/config.md lists them all");
}

}  // namespace
}  // namespace fovea
