// What a person reads on the way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "core/terminal.h"
#include "experiments/describe_plan.h"
#include "experiments/progress_line.h"
#include "tests/config/helpers.h"

namespace fovea {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(ProgressText, SaysProgressLossSpeedMemoryAndTimeLeft) {
  RunProgress p;
  p.step = 50;
  p.total_steps = 500;
  p.loss = 1.8321;
  p.tokens_per_second = 41234;
  p.flops_per_second = 35.1e9;
  p.resident_bytes = int64{210} << 20;
  p.seconds_left = 12.3;
  EXPECT_EQ(progress_text(p), "50 / 500  loss 1.832  41.2k tok/s  35.1 GFLOP/s  210.0 MiB  12 s left");
  p.evaluating = true;
  EXPECT_EQ(progress_text(p), "50 / 500  evaluating");
}

TEST(ProgressText, Durations) {
  EXPECT_EQ(duration_text(0), "0 s");
  EXPECT_EQ(duration_text(59.4), "59 s");
  EXPECT_EQ(duration_text(59.6), "1 min 00 s");
  EXPECT_EQ(duration_text(3599.4), "59 min 59 s");
  EXPECT_EQ(duration_text(3599.6), "1 h 00 min");
  EXPECT_EQ(duration_text(90061), "25 h 01 min");
}

TEST(ProgressText, Counts) {
  EXPECT_EQ(count_text(0), "0");
  EXPECT_EQ(count_text(7), "7");
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(1000), "1.00k");
  EXPECT_EQ(count_text(41234), "41.2k");
  EXPECT_EQ(count_text(999999), "1.00M") << "never 1000k";
  EXPECT_EQ(count_text(3.35e6), "3.35M");
  EXPECT_EQ(count_text(2e15), "2.00P");
  EXPECT_EQ(count_text(2e19), "20000P");
}

TEST(ProgressText, Bytes) {
  EXPECT_EQ(bytes_text(0), "0 bytes");
  EXPECT_EQ(bytes_text(1000), "1000 bytes");
  EXPECT_EQ(bytes_text(2048), "2.0 KiB");
  EXPECT_EQ(bytes_text(int64{3} << 20), "3.0 MiB");
  EXPECT_EQ(bytes_text((int64{1} << 30) - 1), "1.00 GiB") << "never 1024 MiB";
  EXPECT_EQ(bytes_text(int64{5} << 29), "2.50 GiB");
}

TEST(ProgressText, NoColourWhereNobodyLooks) {
  ASSERT_FALSE(output_is_terminal()) << "run the tests with their output in a pipe or a file";
  EXPECT_EQ(styled("31", "failed"), "failed");
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST(DescribePlan, ListsEveryRunThenTheTotals) {
  const Folder folder;
  const StudyPlan plan = plan_study(
      folder.load("study.kind = \"gqa\"\n[model]\nlayers = 1\nwidth = 16\nq_heads = 4\ncontext = 16\n"
                  "[train]\ntokens = 12_800\nbatch = 8\n[gqa]\nkv_heads = [1]\ninits = [\"mean\"]\n"
                  "alphas = [0, 0.1]\n"));
  const std::vector<std::string> lines = lines_of(describe_plan(plan, 1));
  ASSERT_EQ(lines.size(), plan.runs.size() + 2);
  for (size_t i = 0; i < plan.runs.size(); ++i) {
    EXPECT_THAT(lines[i + 1], StartsWith(plan.runs[i].name + " "));
    const std::string& baseline = plan.runs[i].baseline;
    if (!baseline.empty()) {
      EXPECT_THAT(lines[i + 1], testing::EndsWith("  " + baseline));
    }
  }
  for (const std::string& line : lines) EXPECT_NE(line.back(), ' ') << '"' << line << '"';
  // mha 100 steps, converted 0, uptrained 10, scratch 100, control 10: 220 steps of 128 tokens.
  EXPECT_THAT(lines.back(), StartsWith("5 runs, 28.2k tokens, "));
  EXPECT_THAT(lines.back(), HasSubstr("FLOP"));
}

TEST(DescribePlan, OneRunIsOneRun) {
  const Folder folder;
  const std::string text = describe_plan(plan_study(folder.load("[train]\ntokens = 16384\n")), 1);
  EXPECT_THAT(lines_of(text).back(), StartsWith("1 run, "));
}

TEST(DescribePrediction, AlignsItsNumbers) {
  Config config;
  config.model.layers = 1;
  const std::vector<std::string> lines = lines_of(describe_prediction(config, 1));
  ASSERT_GT(lines.size(), 5U);
  // The value begins in the same column everywhere: after the last run of two spaces or more.
  const size_t column = lines[1].find_first_not_of(' ', lines[1].rfind("  "));
  for (const std::string& line : lines) {
    if (!line.starts_with("  ")) continue;  // a heading
    EXPECT_EQ(line.find_first_not_of(' ', line.rfind("  ")), column) << line;
  }
}

}  // namespace
}  // namespace fovea
