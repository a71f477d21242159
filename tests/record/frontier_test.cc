#include "record/report/frontier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "core/error.h"
#include "record/hdf5.h"
#include "record/run_file.h"
#include "synthetic.h"

namespace fovea {
namespace {

using namespace report;
using test::TemporaryDirectory;
using testing::HasSubstr;

struct Measured {
  const char *backend, *policy, *fit;
  int64 length;
  int64 mebibytes;
  double step_seconds;
};

void write_memory_study(const std::filesystem::path& directory, const std::vector<Measured>& runs) {
  StudyIndex index{.name = "memory", .kind = "train"};
  for (const Measured& measured : runs) {
    RunRecord r = test::full_record();
    r.role = RunRole::train;
    r.error.clear();
    r.name = fmt::format("run{}", index.runs.size());
    r.lineage = {"", "", "none", 0, 8, 4};
    r.counts.parameters = 1 << 20;
    r.memory.measured_peak_bytes = measured.mebibytes << 20;
    r.step_seconds = measured.step_seconds;
    r.attributes = {{"model.family", std::string("llama"), "", "default"},
                    {"model.layers", int64{4}, "", "default"},
                    {"model.width", int64{64}, "", "default"},
                    {"model.q_heads", int64{8}, "", "default"},
                    {"model.head_dim", int64{0}, "", "default"},
                    {"model.hidden", int64{192}, "", "default"},
                    {"model.context", measured.length, "tokens", "default"},
                    {"model.dropout", 0.0, "", "default"},
                    {"train.batch", int64{2}, "", "default"},
                    {"train.grain", int64{0}, "", "default"},
                    {"train.precision", std::string("f32"), "", "default"},
                    {"train.residual_dtype", std::string("f32"), "", "default"},
                    {"train.recompute", std::string(measured.policy), "", "default"},
                    {"train.fit", std::string(measured.fit), "", "default"},
                    {"run.backend", std::string(measured.backend), "", "default"}};
    std::filesystem::create_directories(directory / r.name);
    write_run_file(directory / r.name / kRunFileName, r);
    index.runs.push_back({r.name, r.identity, r.role, r.name, RunState::done, {}, ""});
  }
  write_study_index(directory, index);
}

const std::vector<Measured> kRuns = {
    {"auto", "none", "", 256, 100, 0.5},        {"auto", "block", "", 256, 60, 0.7},
    {"auto", "none", "", 512, 200, 1.0},        {"auto", "block", "", 512, 90, 1.35},
    {"auto", "none", "150 MiB", 512, 150, 1.1}, {"naive", "none", "", 256, 150, 1.0},
    {"naive", "none", "", 512, 500, 4.0},
};

std::string without_tags(const std::string& html) {
  std::string text;
  for (size_t at = 0; at < html.size();) {
    const size_t tag = std::min(html.find('<', at), html.size());
    text += html.substr(at, tag - at);
    at = tag == html.size() ? tag : html.find('>', tag) + 1;
  }
  return text;
}

/// Every place that is named as the source of a number or a text can be read.
void expect_sources(const std::string& html, const std::filesystem::path& directory) {
  int count = 0;
  for (size_t at = html.find("data-h5=\""); at != std::string::npos; at = html.find("data-h5=\"", at + 1)) {
    const size_t begin = at + 9;
    std::istringstream places(html.substr(begin, html.find('"', begin) - begin));
    for (std::string place; places >> place;) {
      if (place == "|") continue;
      ++count;
      const size_t colon = place.find(':'), sign = place.find('@');
      const h5::Group file = h5::open_file(directory / place.substr(0, colon));
      if (sign == std::string::npos)
        EXPECT_NO_THROW(file.read<double>(place.substr(colon + 1))) << place;
      else
        EXPECT_NO_THROW(file.any_attribute(place.substr(colon + 1, sign - colon - 1), place.substr(sign + 1)))
            << place;
    }
  }
  EXPECT_GT(count, 10);
}

TEST(Frontier, SaysWhatPoliciesAndLengthsCost) {
  const TemporaryDirectory directory;
  write_memory_study(directory.path(), kRuns);
  const Study study = load_study(directory.path());
  std::vector<std::string> found;
  memory_findings(study, found);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(
      without_tags(found[0]),
      "Against keeping everything, at 512 tokens (200 MiB, 1.00 s a step): block takes 45&#8239;% of the "
      "memory and 135&#8239;% of the time, 150 MiB takes 75&#8239;% of the memory and 110&#8239;% of the "
      "time.");
  EXPECT_EQ(
      without_tags(found[1]),
      "At 512 tokens, naive attention takes 2.50 times the memory of flash and 4.00 times its time. From "
      "256 tokens to 512 tokens flash’s grows 2.00 times, naive’s 3.33 times.");
  for (const std::string& text : found) expect_sources(text, directory.path());
}

TEST(Frontier, DrawsEveryRun) {
  const TemporaryDirectory directory;
  write_memory_study(directory.path(), kRuns);
  const Study study = load_study(directory.path());
  EXPECT_TRUE(has_frontier(study));
  EXPECT_TRUE(has_lengths(study));
  const Inks inks{"#t", "#f", "#mha", "#mean", "#first", "#random", "#scratch"};
  const Shown frontier = frontier_figure(study);
  const std::string script = frontier.figure.script(inks);
  for (const Measured& run : kRuns)
    EXPECT_THAT(script, HasSubstr(fmt::format("{} {} ", run.mebibytes, run.step_seconds)));
  for (const char* label : {"'none'", "'block'", "'150 MiB'", "'flash 256'", "'flash 512'", "'naive 512'"})
    EXPECT_THAT(script, HasSubstr(label));
  expect_sources(frontier.table, directory.path());
  const std::string lengths = length_figure(study).figure.script(inks);
  for (const char* line : {"256 100\n", "512 200\n", "256 150\n", "512 500\n"})
    EXPECT_THAT(lengths, HasSubstr(line));
  EXPECT_THAT(lengths, HasSubstr("'formula, probabilities kept'"));
}

TEST(Frontier, IsNotDrawnWhereNothingVaries) {
  const TemporaryDirectory directory;
  write_memory_study(directory.path(), {kRuns[0], kRuns[0]});
  const Study same = load_study(directory.path());
  EXPECT_FALSE(has_frontier(same));
  EXPECT_FALSE(has_lengths(same));
  write_memory_study(directory.path(), {kRuns[0], kRuns[2]});
  EXPECT_FALSE(has_lengths(load_study(directory.path()))) << "lengths alone are another study";
  std::vector<std::string> found;
  memory_findings(same, found);
  EXPECT_TRUE(found.empty());
}

// Korthikanti et al.'s 34 C, without dropout's masks (C each after attention's and the MLP's output, 2 in
// all) and with SwiGLU's three products of 8/3 C in place of two of 4 C: 28 C, and keys and values of fewer
// heads.
TEST(Frontier, CountsWhatALayerKeeps) {
  LayerSizes sizes{.width = 1024,
                   .q_heads = 8,
                   .kv_heads = 8,
                   .head_dim = 128,
                   .hidden = 8.0 / 3 * 1024,
                   .activation_bytes = 2,
                   .residual_bytes = 2};
  const double statistics = 2 * 4 + 4 * 8;
  EXPECT_NEAR(kept_bytes_per_token(sizes), 32 * 1024 + statistics, 1e-6);
  sizes.kv_heads = 2;
  EXPECT_NEAR(kept_bytes_per_token(sizes), 29 * 1024 + statistics, 1e-6);
  EXPECT_EQ(probability_bytes_per_token(sizes, 2048), 2 * 8 * 2048);
}

}  // namespace
}  // namespace fovea
