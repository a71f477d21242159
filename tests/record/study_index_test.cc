#include "record/study_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/file.h"
#include "expect_error.h"
#include "record/journal.h"
#include "record/provenance.h"
#include "record/run_file.h"
#include "synthetic.h"

namespace fovea {
namespace {

using test::expect_error;
using test::TemporaryDirectory;
using testing::ContainsRegex;
using testing::HasSubstr;

StudyIndex two_runs() {
  return {"study",
          "gqa",
          "text\n",
          {{"base", "1", RunRole::baseline, "base", RunState::done, {}, ""},
           {"up", "2", RunRole::uptrained, "sub/up", RunState::waiting, {"base"}, "why"}},
          {{"claims/a.toml", "# α\n[[claim]]\n"}}};
}

TEST(StudyIndexFile, ComesBack) {
  const TemporaryDirectory directory;
  write_study_index(directory.path(), two_runs());
  const StudyIndex read = read_study_index(directory.path());
  EXPECT_EQ(read.name, "study");
  EXPECT_EQ(read.kind, "gqa");
  EXPECT_EQ(read.config, "text\n");
  ASSERT_EQ(read.runs.size(), 2U);
  EXPECT_EQ(read.runs[1].name, "up");
  EXPECT_EQ(read.runs[1].role, RunRole::uptrained);
  EXPECT_EQ(read.runs[1].directory, "sub/up");
  EXPECT_EQ(read.runs[1].state, RunState::waiting);
  EXPECT_THAT(read.runs[1].depends_on, testing::ElementsAre("base"));
  EXPECT_EQ(read.runs[1].error, "why");
  ASSERT_EQ(read.claims.size(), 1U);
  EXPECT_EQ(read.claims[0].name, "claims/a.toml");
  EXPECT_EQ(read.claims[0].text, "# α\n[[claim]]\n");
}

TEST(StudyIndexFile, OfBeforeThereWereClaimsHasNone) {
  const TemporaryDirectory directory;
  write_file_atomically(directory / "study.json",
                        std::string_view(R"({"format": "fovea study", "format_version": 1,
      "name": "old", "kind": "gqa", "config": "", "runs": []})"));
  EXPECT_TRUE(read_study_index(directory.path()).claims.empty());
}

TEST(StudyIndexFile, HostileOnesAreRefused) {
  const TemporaryDirectory directory;
  expect_error(ExitCode::input, "holds no study.json", [&] { read_study_index(directory.path()); });
  const auto refuse = [&](const std::string& words, auto change) {
    StudyIndex index = two_runs();
    change(index);
    write_study_index(directory.path(), index);
    expect_error(ExitCode::input, words, [&] { read_study_index(directory.path()); });
  };
  refuse("does not lie within", [](StudyIndex& i) { i.runs[0].directory = "/etc"; });
  refuse("does not lie within", [](StudyIndex& i) { i.runs[0].directory = "a/../../b"; });
  refuse("does not lie within", [](StudyIndex& i) { i.runs[0].directory = ""; });
  refuse("two runs are named \"up\"", [](StudyIndex& i) { i.runs[0].name = "up"; });
  refuse("depends on \"gone\"", [](StudyIndex& i) { i.runs[1].depends_on = {"gone"}; });
  for (
      const auto& [text, words] : std::vector<std::pair<std::string, std::string>>{
          {"", "no JSON object"},
          {"[1]", "no JSON object"},
          {"{}", "\"format\" is missing"},
          {R"({"format":"fovea study","format_version":9})", "format_version"},
          {R"({"format":"fovea study","format_version":1,"name":1})", "\"name\" is no text"},
          {R"({"format":"fovea study","format_version":1,"name":"","kind":"","config":"","runs":[1]})",
           "a run is no object"},
          {R"({"format":"fovea study","format_version":1,"name":"","kind":"","config":"","claims":1,"runs":[]})",
           "\"claims\" is no list"},
          {R"({"format":"fovea study","format_version":1,"name":"","kind":"","config":"","claims":[1],"runs":[]})",
           "\"claims\" holds what is no object"},
          {R"({"format":"fovea study","format_version":1,"name":"","kind":"","config":"","claims":[{"name":"a"}],
               "runs":[]})",
           "\"text\" is missing"}}) {
    write_file_atomically(directory / "study.json", text);
    expect_error(ExitCode::input, words, [&] { read_study_index(directory.path()); });
  }
}

TEST(Status, ShowsAStudyWhileItRuns) {
  const TemporaryDirectory directory;
  StudyIndex index = two_runs();
  index.runs[1].error = "";
  write_study_index(directory.path(), index);
  std::filesystem::create_directories(directory / "sub/up");
  Journal journal = Journal::create(directory / "sub/up/journal.jsonl");
  const double now = seconds_now();
  // a first start of 10 slow steps, then a resume that does 2 steps a second
  journal.append(JournalBegin{"up", "2", 0, 30, 300, now - 2000});
  for (int64 n = 1; n <= 10; ++n)
    journal.append(JournalStep{n, n * 10, 3, 0, 0, 1, 0, now - 2000 + 100 * static_cast<double>(n)});
  journal.append(JournalBegin{"up", "2", 10, 30, 300, now - 5});
  for (int64 n = 11; n <= 20; ++n)
    journal.append(JournalStep{n, n * 10, 2.5, 0, 0, 12345, 0, now - 5 + 0.5 * static_cast<double>(n - 10)});
  const std::string table = status_table(directory.path());
  EXPECT_THAT(table, HasSubstr("base  done"));
  EXPECT_THAT(table, ContainsRegex("up    running +20 / 30  2.5000 +12.3 k +5 s\n")) << table;
  EXPECT_THAT(table, HasSubstr("study: 2 runs, 1 running, 1 done"));
  journal.append(JournalEnd{RunState::failed, "step 21: the loss is not finite", now});
  EXPECT_THAT(status_table(directory.path()), HasSubstr("step 21: the loss is not finite"));
  EXPECT_THAT(status_table(directory.path()), HasSubstr("1 done, 1 failed"));
}

TEST(Status, SaysWhenARunIsSilent) {
  const TemporaryDirectory directory;
  StudyIndex index = two_runs();
  index.runs[1].error = "";
  index.runs[1].state = RunState::running;
  write_study_index(directory.path(), index);
  std::filesystem::create_directories(directory / "sub/up");
  Journal journal = Journal::create(directory / "sub/up/journal.jsonl");
  journal.append(JournalBegin{"up", "2", 0, 30, 300, seconds_now() - 600});
  EXPECT_THAT(status_table(directory.path()), HasSubstr("no sign of life for 10 min"));
}

}  // namespace
}  // namespace fovea
