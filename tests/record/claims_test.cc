#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "core/file.h"
#include "expect_error.h"
#include "record/report/judge.h"
#include "record/run_file.h"
#include "record/study_index.h"
#include "synthetic.h"

namespace fovea {
namespace {

using report::Judgement;
using report::Verdict;
using test::expect_error;
using test::TemporaryDirectory;
using testing::HasSubstr;

// What every claim needs; lines 1 to 5.
const std::string kHead =
    "study = 'gqa'\nsource = 'Somebody 2023, figure 4'\n[[claim]]\nname = 'pooling'\nsays = 'Pooling is "
    "best.'\n";
const std::string kPooling =
    kHead +
    "where = { alpha = 0.05 }\neach = { kv_heads = [4, 1] }\nof = { conversion = 'mean' }\n"
    "against = { conversion = 'random' }\nrelation = '<'\nthreshold = 0\n";

std::vector<Claim> parsed(const std::string& text) { return parse_claims({"c.toml", text}); }

TEST(Claims, AreReadWithTheirPoints) {
  const std::vector<Claim> claims = parsed(kPooling);
  ASSERT_EQ(claims.size(), 2U);
  EXPECT_EQ(claims[0].source, "Somebody 2023, figure 4");
  EXPECT_EQ(claims[0].says, "Pooling is best.");
  EXPECT_EQ(claims[0].where, "c.toml:3:1");
  EXPECT_EQ(claims[0].quantity, "loss");
  EXPECT_EQ(text_of(claims[0].point), "kv_heads = 4");
  EXPECT_EQ(text_of(claims[1].point), "kv_heads = 1");
  ASSERT_EQ(claims[1].terms.size(), 2U);
  EXPECT_EQ(claims[1].terms[1].weight, -1);
  EXPECT_EQ(text_of(claims[1].terms[1].runs), "alpha = 0.05, kv_heads = 1, conversion = \"random\"");
  EXPECT_EQ(statistic_of(claims[1]),
            "loss in nat/token: (conversion = \"mean\") - (conversion = \"random\"), alpha = 0.05");
}

TEST(Claims, WhatATermSaysStandsOverWhatAllShare) {
  const Claim claim =
      parsed(kHead +
             "statistic = 'sum'\nquantity = 'parameters'\nwhere = { alpha = 0, kv_heads = 4 }\n"
             "terms = [{weight = 1, runs = {model.hidden = 12}}, {weight = -0.5, runs = {kv_heads = 8, "
             "role = 'baseline'}}]\nrelation = '>='\nthreshold = -1.5\n")[0];
  EXPECT_EQ(claim.relation, Relation::at_least);
  EXPECT_EQ(claim.threshold, -1.5);
  EXPECT_EQ(text_of(claim.terms[1].runs), "alpha = 0, kv_heads = 8, role = \"baseline\"");
  EXPECT_EQ(
      statistic_of(claim),
      "parameters: (kv_heads = 4, model.hidden = 12) - 0.5 (kv_heads = 8, role = \"baseline\"), alpha = 0");
}

struct Mistake {
  const char* text;   // after kHead, from line 6
  const char* words;  // of the message
};
constexpr Mistake kMistakes[] = {
    {"off = {}", "c.toml:6:1: off is no key of a claim: did you mean of?"},
    {"frobnicate = 1", "c.toml:6:1: frobnicate is no key of a claim: must be one of name, "},
    {"source = 3", "c.toml:6:10: source must be a text, in quotes"},
    {"source = ''", "c.toml:6:10: source must be a text"},
    {"", "c.toml:3:1: of is missing: the runs that the claim is about"},
    {"of = {conversion = 'mean'}", "c.toml:3:1: against is missing"},
    {"of = {conversion = 'mean'}\nagainst = {alpha = 0}", "c.toml:3:1: relation is missing"},
    {"of = {}\nagainst = {}\nrelation = '<'", "c.toml:3:1: threshold is missing"},
    {"of = {}\nagainst = {}\nrelation = '=<'\nthreshold = 0",
     "c.toml:8:12: relation is \"=<\": did you mean <=?"},
    {"of = {}\nagainst = {}\nrelation = 3\nthreshold = 0", "c.toml:8:12: relation must be a text"},
    {"of = {}\nagainst = {}\nrelation = '<'\nthreshold = nan",
     "c.toml:9:13: threshold must be a finite number"},
    {"of = {}\nagainst = {}\nrelation = '<'\nthreshold = '0'",
     "c.toml:9:13: threshold must be a finite number"},
    {"of = 3\nagainst = {}", "c.toml:6:6: of must be a table of what the runs are"},
    {"of = {conversoin = 'mean'}\nagainst = {}",
     "c.toml:6:7: conversoin tells no runs apart: did you mean conversion?"},
    {"of = {hidden = 3}\nagainst = {}",
     "c.toml:6:7: hidden tells no runs apart: name a key of the configuration in full"},
    {"of = {seed = 1}\nagainst = {}", "c.toml:6:7: seed chooses no runs"},
    {"of = {train.seed = 1}\nagainst = {}", "train.seed chooses no runs"},
    {"of = {role = 'mha'}\nagainst = {}",
     "c.toml:6:14: \"mha\" is no role of a run (known: train, baseline, "},
    {"of = {alpha = [0, 1]}\nagainst = {}",
     "c.toml:6:15: alpha must be a number, a text in quotes, true or false"},
    {"of = {alpha = inf}\nagainst = {}", "c.toml:6:15: alpha must be a finite number"},
    {"quantity = 'lost'", "c.toml:6:12: quantity is \"lost\": did you mean loss?"},
    {"statistic = 'ratio'", "c.toml:6:13: statistic is \"ratio\": must be one of level, difference, sum"},
    {"statistic = 'level'\nof = {}\nagainst = {}",
     "c.toml:8:11: against has no meaning where statistic = \"level\""},
    {"statistic = 'sum'\nof = {}", "c.toml:7:6: of has no meaning where statistic = \"sum\""},
    {"statistic = 'sum'", "c.toml:3:1: terms is missing"},
    {"statistic = 'sum'\nterms = []", "c.toml:7:9: terms must be a list of tables"},
    {"statistic = 'sum'\nterms = [1]", "c.toml:7:9: terms must be a list of tables"},
    {"statistic = 'sum'\nterms = [{runs = {}}]", "c.toml:7:10: weight is missing"},
    {"statistic = 'sum'\nterms = [{weight = 0, runs = {}}]", "c.toml:7:20: a term of weight 0 adds nothing"},
    {"statistic = 'sum'\nterms = [{weihgt = 1}]",
     "c.toml:7:11: weihgt is no key of a term: did you mean weight?"},
    {"each = {alpha = 3}\nof = {}\nagainst = {}\nrelation = '<'\nthreshold = 0",
     "c.toml:6:17: each.alpha must be a list of the values"},
    {"each = 3\nof = {}\nagainst = {}\nrelation = '<'\nthreshold = 0",
     "c.toml:6:8: each must be a table of lists"},
    {"untestable = 'no'\nof = {}", "c.toml:7:6: of has no meaning where the claim is untestable"},
    {"untestable = ''", "c.toml:6:14: untestable must be a text"},
    {"untestable = 'no'\n[[claim]]\nname = 'pooling'\nsays = 'x'\nuntestable = 'no'",
     "c.toml:8:8: two claims are named \"pooling\": rename one"},
    {"says = 'again'", "c.toml:6:8: "},
    {"x = [", "c.toml:6:7: "},
};

TEST(Claims, AMistakeIsOneLineWithItsPlace) {
  for (const Mistake& mistake : kMistakes)
    expect_error(ExitCode::usage, mistake.words, [&] { parsed(kHead + mistake.text + "\n"); });
  expect_error(ExitCode::usage, "c.toml:1:1: there is no claim", [] { parsed(""); });
  expect_error(ExitCode::usage, "c.toml:1:9: claim must be a list of tables", [] { parsed("claim = 3"); });
  expect_error(ExitCode::usage, "c.toml:1:9: claim must be a list of tables", [] { parsed("claim = [1]"); });
  expect_error(ExitCode::usage, "c.toml:1:1: sauce is no key of a file of claims: did you mean source?",
               [] { parsed("sauce = 'a'"); });
  expect_error(ExitCode::usage, "c.toml:1:1: name is missing", [] { parsed("[[claim]]\nsays = 'a'"); });
  expect_error(ExitCode::usage, "c.toml:1:1: source is missing",
               [] { parsed("[[claim]]\nname = 'a'\nsays = 'a'"); });
  expect_error(ExitCode::usage, "bro\\x0aken", [] { parsed("\"bro\\nken\" = 1"); });
}

TEST(Claims, ListsDoNotMultiplyWithoutEnd) {
  std::string list = "[0";
  for (int i = 1; i < 40; ++i) list += fmt::format(", {}", i);
  list += "]";
  expect_error(ExitCode::usage, "each makes more than 1000 claims of one", [&] {
    parsed(kHead + "each = {alpha = " + list + ", kv_heads = " + list +
           "}\nof = {}\nagainst = {conversion = 'mean'}\nrelation = '<'\nthreshold = 0\n");
  });
}

TEST(Claims, OfTwoFilesHaveNamesOfTheirOwn) {
  EXPECT_EQ(report::parse_all({{"a.toml", kPooling}}).size(), 2U);
  expect_error(ExitCode::usage, "b.toml:3:1: the claim \"pooling\" has its name from a.toml:3:1", [] {
    report::parse_all({{"a.toml", kPooling}, {"b.toml", kPooling}});
  });
}

// ---- verdicts

/// A study and what it says of claims.
class Study {
 public:
  explicit Study(int seeds, double wrong_mean = 0) {
    test::write_gqa_study(directory_.path(), seeds, {{}, wrong_mean, true});
    study_ = report::load_study(directory_.path());
  }
  std::vector<Judgement> judge(const std::string& claims) const {
    return report::judge(study_, parsed(claims));
  }
  void change(const std::string& run, const std::function<void(RunRecord&)>& how) {
    const std::filesystem::path file = directory_ / run / kRunFileName;
    RunRecord record = read_run_file(file);
    how(record);
    write_run_file(file, record);
    study_ = report::load_study(directory_.path());
  }

 private:
  TemporaryDirectory directory_;
  report::Study study_;
};
std::string claim(const std::string& body) { return kHead + body + "\n"; }

TEST(Verdicts, OfARightConversionAndOfAWrongOne) {
  const Study right(3), wrong(3, 1.0), slightly(3, 0.135), once(1, 1.0);
  for (const Judgement& j : right.judge(kPooling)) {
    EXPECT_EQ(j.verdict, Verdict::holds);
    EXPECT_EQ(j.contrast.size(), 3U);
    EXPECT_LT(derive(report::Part::high, j.contrast), 0);
  }
  for (const Judgement& j : wrong.judge(kPooling)) {
    EXPECT_EQ(j.verdict, Verdict::fails);
    EXPECT_GT(derive(report::Part::low, j.contrast), 0.5);
    EXPECT_LE(derive(report::Part::seeds_needed, j.contrast), 3);
  }
  const Judgement close = slightly.judge(kPooling)[0];
  EXPECT_EQ(close.verdict, Verdict::underpowered);
  EXPECT_GT(derive(report::Part::seeds_needed, close.contrast), 3);
  const Judgement of_one = once.judge(kPooling)[0];
  EXPECT_EQ(of_one.verdict, Verdict::underpowered);
  EXPECT_TRUE(std::isnan(derive(report::Part::seeds_needed, of_one.contrast)));
}

TEST(Verdicts, FollowTheRelation) {
  const Study study(3);
  const auto judgement = [&](const char* relation, double threshold) {
    return study.judge(claim(fmt::format(
        "of = {{conversion = 'mean'}}\nagainst = {{conversion = 'random'}}\nwhere = {{kv_heads = 4, "
        "alpha = 0}}\nrelation = '{}'\nthreshold = {}",
        relation, threshold)))[0];
  };
  const double effect = derive(report::Part::mean, judgement("<", 0).contrast);
  EXPECT_NEAR(effect, -0.9, 0.05);
  for (const auto& [relation, threshold, verdict] : {std::tuple{"<", 0.0, Verdict::holds},
                                                     {"<=", 0.0, Verdict::holds},
                                                     {">", 0.0, Verdict::fails},
                                                     {">=", 0.0, Verdict::fails},
                                                     {"<", effect, Verdict::underpowered},
                                                     {">=", effect, Verdict::underpowered},
                                                     {"<", -2.0, Verdict::fails},
                                                     {">", -2.0, Verdict::holds}})
    EXPECT_EQ(judgement(relation, threshold).verdict, verdict) << relation << threshold;
  // a number without scatter: bytes of the cache are half
  const std::string bytes =
      "quantity = 'kv_bytes_per_token'\nstatistic = 'sum'\nterms = [{weight = 2, runs = {kv_heads = 4, "
      "conversion = "
      "'mean', alpha = 0}}, {weight = -1, runs = {role = 'baseline'}}]\nthreshold = 0\nrelation = ";
  EXPECT_EQ(study.judge(claim(bytes + "'<='"))[0].verdict, Verdict::holds);
  EXPECT_EQ(study.judge(claim(bytes + "'<'"))[0].verdict, Verdict::fails);
}

TEST(Verdicts, ReadTheConfiguration) {
  const Study study(3);
  const std::string body =
      "of = {role = 'control_scratch', kv_heads = 4, KEY}\nagainst = {role = 'baseline', KEY}\n"
      "relation = '<'\nthreshold = 1";
  const auto with = [&](const std::string& key) {
    std::string text = body;
    for (size_t at; (at = text.find("KEY")) != std::string::npos;) text.replace(at, 3, key);
    return study.judge(claim(text))[0];
  };
  for (const char* key :
       {"model.layers = 4", "model.layers = 4.0", "train.lr = 2e-3", "data.documents = true"})
    EXPECT_EQ(with(key).verdict, Verdict::holds) << key;
  for (const char* key :
       {"model.layers = 5", "train.lr = 1e-3", "data.documents = false", "model.hidden = 4"}) {
    EXPECT_EQ(with(key).verdict, Verdict::untestable) << key;
    EXPECT_EQ(with(key).reason.substr(0, 24), "no run that is done has " + std::string()) << key;
  }
}

TEST(Verdicts, AreWithheldWithAReason) {
  const Study study(2);
  const auto reason = [&](const std::string& text) {
    const Judgement j = study.judge(text)[0];
    EXPECT_EQ(j.verdict, Verdict::untestable);
    return j.reason;
  };
  const std::string rest = "\nagainst = {role = 'baseline'}\nrelation = '<'\nthreshold = 0";
  EXPECT_EQ(reason(claim("of = {conversion = 'maen', alpha = 0}" + rest)),
            "no run that is done has conversion = \"maen\"");
  EXPECT_EQ(reason(claim("of = {conversion = 'mean', kv_heads = 8}" + rest)),
            "no run that is done has conversion = \"mean\", kv_heads = 8");
  EXPECT_THAT(reason(claim("of = {conversion = 'mean', alpha = 0}" + rest)),
              HasSubstr("both have alpha = 0, conversion = \"mean\": the claim must say which is meant"));
  EXPECT_EQ(reason("study = 'heads'\n" + claim("of = {alpha = 0}" + rest).substr(kHead.find('\n') + 1)),
            "it reads the study heads, and this one is GQA on the King James Bible");
  EXPECT_EQ(reason(claim("untestable = 'nothing decodes'")), "nothing decodes");
}

TEST(Verdicts, NeedTheQuantityOfEveryRun) {
  Study study(2);
  const auto judgement = [&](const std::string& quantity) {
    return study.judge(
        claim("quantity = '" + quantity +
              "'\nof = {role = 'control_scratch', kv_heads = 4}\nagainst = {role = 'baseline'}\n"
              "relation = '>'\nthreshold = -1e12"))[0];
  };
  for (const Quantity& quantity : quantities())
    EXPECT_EQ(judgement(std::string(quantity.name)).verdict, Verdict::holds) << quantity.name;
  study.change("baseline-g8-none-a0-s1", [](RunRecord& record) {
    record.memory.measured_peak_bytes = 0;
    record.evaluations.back().bits_per_byte.reset();
  });
  for (const char* quantity : {"peak_memory", "bits_per_byte"})
    EXPECT_EQ(judgement(quantity).reason, "baseline-g8-none-a0-s1 has no " + std::string(quantity));
  EXPECT_EQ(judgement("loss").verdict, Verdict::holds);
}

TEST(Verdicts, CompareWithTheRunsOwnBaseline) {
  Study study(2);
  study.change("uptrained-g4-mean-a0.05-s1",
               [](RunRecord& record) { record.lineage.baseline = "another one"; });
  const Judgement j = study.judge(kPooling)[0];
  EXPECT_EQ(j.verdict, Verdict::untestable);
  EXPECT_EQ(j.reason,
            "uptrained-g4-mean-a0.05-s1 and uptrained-g4-random-a0.05-s1 come from different baselines");
}

TEST(Verdicts, AreOfTheSeedsThatHaveAllRuns) {
  Study study(4);
  study.change("uptrained-g4-mean-a0.05-s1", [](RunRecord& record) { record.state = RunState::failed; });
  const Judgement j = study.judge(kPooling)[0];
  ASSERT_EQ(j.contrast.size(), 3U);
  for (const report::Sample& sample : j.contrast.samples)
    for (const report::Datum& datum : sample) EXPECT_THAT(datum.h5, testing::Not(HasSubstr("-s1/")));
  EXPECT_THAT(j.contrast.samples[0][1].h5, HasSubstr("-s2/"));
  EXPECT_THAT(j.contrast.samples[1][1].h5, HasSubstr("-s2/"));
}

}  // namespace
}  // namespace fovea
