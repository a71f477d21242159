#include "record/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <rapidcheck/gtest.h>
#include <cmath>

#include "core/file.h"
#include "expect_error.h"
#include "synthetic.h"
#include "tests/full_disk.h"

namespace fovea {
namespace {

using test::expect_error;
using test::TemporaryDirectory;
using testing::ElementsAre;

JournalStep step(int64 n) {
  const double x = static_cast<double>(n);
  return {n, n * 10, 5 / x, 1e-3 / 3, 0.1 + x, 1000 + x, 1e9, 100 + x};
}

void write_steps(Journal& journal, int64 from, int64 to) {
  for (int64 n = from; n <= to; ++n) {
    journal.append(step(n));
    if (n % 2 == 0) journal.append(Evaluation{n, 2 + 1.0 / static_cast<double>(n), 3});
  }
}

TEST(JournalFile, ComesBackExactly) {
  const TemporaryDirectory directory;
  const auto path = directory / "j";
  {
    Journal journal = Journal::create(path);
    journal.append(JournalBegin{"a \"run\"", "id", 0, 4, 40, 100.25});
    write_steps(journal, 1, 4);
    journal.append(JournalEnd{RunState::failed, "two\nlines \xff", 105});
  }
  const JournalContents read = read_journal(path);
  ASSERT_EQ(read.begins.size(), 1U);
  EXPECT_EQ(read.begins[0].name, "a \"run\"");
  EXPECT_EQ(read.begins[0].total_steps, 4);
  EXPECT_THAT(read.series.step, ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(read.series.train_loss[2], 5.0 / 3);
  EXPECT_EQ(read.series.lr[0], 1e-3 / 3);
  ASSERT_EQ(read.evaluations.size(), 2U);
  EXPECT_EQ(read.evaluations[1].loss, 2.25);
  ASSERT_TRUE(read.end);
  EXPECT_EQ(read.end->state, RunState::failed);
  EXPECT_EQ(read.last_time, 105);
}

TEST(JournalFile, AnEvaluationOfUnknownTextHasNoBitsPerByte) {
  const TemporaryDirectory directory;
  Journal journal = Journal::create(directory / "j");
  journal.append(Evaluation{0, 2.5, std::nullopt});
  journal.append(Evaluation{0, 2.5, 3.5});
  const JournalContents read = read_journal(directory / "j");
  EXPECT_EQ(read.evaluations[0].bits_per_byte, std::nullopt);
  EXPECT_EQ(read.evaluations[1].bits_per_byte, 3.5);
}

TEST(JournalFile, KeepsWhatIsNotFinite) {
  const TemporaryDirectory directory;
  Journal journal = Journal::create(directory / "j");
  JournalStep broken = step(1);
  broken.train_loss = std::nan("");
  broken.grad_norm = -std::numeric_limits<double>::infinity();
  journal.append(broken);
  const JournalContents read = read_journal(directory / "j");
  EXPECT_TRUE(std::isnan(read.series.train_loss[0]));
  EXPECT_EQ(read.series.grad_norm[0], -std::numeric_limits<double>::infinity());
}

/// A crash may leave the last line at any length.
TEST(JournalFile, ATornLastLineIsIgnored) {
  const TemporaryDirectory directory;
  const auto path = directory / "j";
  {
    Journal journal = Journal::create(path);
    write_steps(journal, 1, 5);
  }
  const std::string whole = read_file(path);
  for (size_t keep = 0; keep < whole.size(); keep += 71) {
    SCOPED_TRACE(keep);
    write_file_atomically(path, std::string_view(whole).substr(0, keep));
    const JournalContents read = read_journal(path);
    const auto lines = std::count(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(keep), '\n');
    EXPECT_EQ(static_cast<std::ptrdiff_t>(read.series.size() + read.evaluations.size()), lines);
    // and what comes after a resume stands on lines of its own
    const int64 last = read.series.step.empty() ? 0 : read.series.step.back();
    Journal journal = Journal::resume(path, last);
    write_steps(journal, last + 1, 7);
    EXPECT_THAT(read_journal(path).series.step, ElementsAre(1, 2, 3, 4, 5, 6, 7));
  }
}

TEST(JournalFile, ResumeCutsBackToTheCheckpoint) {
  const TemporaryDirectory directory;
  const auto path = directory / "j";
  {
    Journal journal = Journal::create(path);
    journal.append(JournalBegin{"run", "id", 0, 9, 90, 1});
    write_steps(journal, 1, 6);
    journal.append(JournalEnd{RunState::interrupted, "", 7});
  }
  {
    Journal journal = Journal::resume(path, 4);
    journal.append(JournalBegin{"run", "id", 4, 9, 90, 8});
    journal.append(step(5));
  }
  const JournalContents read = read_journal(path);
  EXPECT_THAT(read.series.step, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ(read.evaluations.size(), 2U);
  EXPECT_EQ(read.begins.size(), 2U);
  EXPECT_FALSE(read.end);
  expect_error(ExitCode::input, "stands at step 8", [&] { Journal::resume(path, 8); });
  Journal::resume(directory / "new", 0);
  EXPECT_EQ(read_journal(directory / "new").series.size(), 0U);
  expect_error(ExitCode::input, "none", [&] { Journal::resume(directory / "none", 3); });
}

// What the disk does not take is kept, and follows when there is room: no line is lost or torn in two.
TEST(JournalFile, OutlivesAFullDisk) {
  const TemporaryDirectory directory;
  const auto path = directory / "j";
  Journal journal = Journal::create(path);
  journal.append(JournalBegin{"run", "id", 0, 9, 90, 1});
  write_steps(journal, 1, 3);
  EXPECT_EQ(journal.waits_for(), "");
  const auto size = std::filesystem::file_size(path);
  {
    const FullDisk full(size + 50);  // in the middle of a line
    write_steps(journal, 4, 6);
    EXPECT_EQ(journal.waits_for(), path.string() + ": File too large");
    EXPECT_EQ(std::filesystem::file_size(path), size + 50);
    EXPECT_THAT(read_journal(path).series.step, ElementsAre(1, 2, 3));
    expect_error(ExitCode::interrupted, "j: cannot be written: File too large", [&] { journal.sync(); });
  }
  Journal moved = std::move(journal);
  moved.append(step(7));
  EXPECT_EQ(moved.waits_for(), "");
  moved.sync();
  EXPECT_THAT(read_journal(path).series.step, ElementsAre(1, 2, 3, 4, 5, 6, 7));
  EXPECT_EQ(read_journal(path).evaluations.size(), 3U);
}

TEST(JournalFile, OtherLinesAreRefusedByNumber) {
  const TemporaryDirectory directory;
  const auto path = directory / "j";
  const std::string good = R"({"event":"evaluation","step":1,"loss":2.0,"bits_per_byte":3.0})";
  for (const auto& [line, words] : std::vector<std::pair<std::string, std::string>>{
           {"", "j:2: is not a line"},
           {"[]", "j:2: is not a line"},
           {"{\"event\":\"other\"}", "j:2: \"other\" is no event"},
           {R"({"event":"evaluation","step":-1,"loss":2,"bits_per_byte":3})", "\"step\" is no count"},
           {R"({"event":"evaluation","step":18446744073709551615,"loss":2,"bits_per_byte":3})",
            "\"step\" is no count"},
           {R"({"event":"evaluation","step":2,"loss":"x","bits_per_byte":3})", "\"loss\" is no number"},
           {R"({"event":"evaluation","step":0,"loss":2,"bits_per_byte":3})", "goes back"},
           {R"({"event":"evaluation","step":2,"bits_per_byte":3})", "\"loss\" is missing"}}) {
    write_file_atomically(path, good + "\n" + line + "\n" + good + "\n");
    expect_error(ExitCode::input, words, [&] { read_journal(path); });
  }
}

}  // namespace
}  // namespace fovea
