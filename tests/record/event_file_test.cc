#include "record/event_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "event_reader.h"
#include "expect_error.h"
#include "synthetic.h"

namespace fovea {
namespace {

using test::Events;
using test::events_in;
using test::expect_error;
using test::TemporaryDirectory;
using testing::ElementsAre;

JournalStep step(int64 n) {
  const double x = static_cast<double>(n);
  return {n, n * 10, 5 / x, 1e-3 / 3, 0.1 + x, 1000 + x, 1e9, 100 + x};
}

/// A journal of `steps` steps with an evaluation before the first and after each second one.
JournalContents journal_of(const std::filesystem::path& path, int64 steps) {
  Journal journal = Journal::create(path);
  journal.append(JournalBegin{"run", "id", 0, 4, 40, 100});
  journal.append(Evaluation{0, 7, std::nullopt});
  for (int64 n = 1; n <= steps; ++n) {
    journal.append(step(n));
    if (n % 2 == 0) journal.append(Evaluation{n, 2 + 1.0 / static_cast<double>(n), 3});
  }
  return read_journal(path);
}

TEST(EventFile, TheChecksumIsCrc32c) {
  // "123456789" is the check value of every catalogue of CRCs; unmasked here.
  const uint32 masked = test::masked_crc32c("123456789") - 0xa282ead8;
  EXPECT_EQ((masked >> 17) | (masked << 15), 0xe3069283U);
}

TEST(EventFile, BeginsAsEveryEventFileDoes) {
  const TemporaryDirectory directory;
  EventFile::create(directory / "t", JournalContents{});
  const auto file = *std::filesystem::directory_iterator(directory / "t");
  EXPECT_EQ(
      read_file(file.path()).substr(0, 13),
      std::string("\x18\0\0\0\0\0\0\0\xa3\x7fK\"\x09", 13));  // 24 bytes, their checksum, wall_time's key
  EXPECT_THAT(events_in(directory / "t").versions, ElementsAre("brain.Event:2"));
}

TEST(EventFile, HoldsWhatIsAppended) {
  const TemporaryDirectory directory;
  EventFile file = EventFile::create(directory / "t", JournalContents{});
  file.append(step(1));
  file.append(step(300));
  file.append(Evaluation{300, 2.5, 3.5}, 401.5);
  file.append(Evaluation{301, 2.25, std::nullopt}, 402.5);
  const Events events = events_in(directory / "t");
  ASSERT_EQ(events.scalars.size(), 6U);
  EXPECT_THAT(events.steps("train/loss"), ElementsAre(1, 300));
  EXPECT_THAT(events.values("train/loss"), ElementsAre(5.0F, static_cast<float>(5.0 / 300)));
  EXPECT_THAT(events.values("train/lr"),
              ElementsAre(static_cast<float>(1e-3 / 3), static_cast<float>(1e-3 / 3)));
  EXPECT_THAT(events.values("train/grad_norm"), ElementsAre(1.1F, 300.1F));
  EXPECT_THAT(events.values("speed/tokens_per_second"), ElementsAre(1001.0F, 1300.0F));
  EXPECT_THAT(events.values("evaluate/loss"), ElementsAre(2.5F, 2.25F));
  EXPECT_THAT(events.values("evaluate/bits_per_byte"), ElementsAre(3.5F));
  EXPECT_EQ(events.scalars.at("train/lr")[1].time, 400);
  EXPECT_EQ(events.scalars.at("evaluate/loss")[0].time, 401.5);
}

TEST(EventFile, ANewOneBeginsWithTheJournalAndReplacesTheOthers) {
  const TemporaryDirectory directory;
  const auto folder = directory / "t";
  {
    EventFile earlier = EventFile::create(folder, JournalContents{});
    for (int64 n = 1; n <= 9; ++n) earlier.append(step(n));
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {  // of another second and process
    std::filesystem::rename(entry.path(), folder / "events.out.tfevents.1700000000.fovea.1");
    break;
  }
  EventFile file = EventFile::create(folder, journal_of(directory / "j", 4));
  file.append(step(5));
  const Events events = events_in(folder);
  EXPECT_THAT(events.steps("train/loss"), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ(events.scalars.at("train/loss")[2].time, 103);
  EXPECT_THAT(events.steps("evaluate/loss"), ElementsAre(0, 2, 4));
  EXPECT_THAT(events.steps("evaluate/bits_per_byte"), ElementsAre(2, 4));
  EXPECT_EQ(events.scalars.at("evaluate/loss")[0].time, 100);
  EXPECT_EQ(events.scalars.at("evaluate/loss")[2].time, 104);
  EXPECT_EQ(events.starts, 1);  // from step 0 on, an open TensorBoard forgets
}

TEST(EventFile, WhatTheDiskDoesNotTakeLeavesWholeRecords) {
  const TemporaryDirectory directory;
  EventFile file = EventFile::create(directory / "t", JournalContents{});
  const auto path = std::filesystem::directory_iterator(directory / "t")->path();
  file.append(step(1));
  const auto whole = std::filesystem::file_size(path);

  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit full{whole + 10, before.rlim_max};  // room for ten bytes of the next record
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
  expect_error(ExitCode::failed, path.string(), [&] { file.append(step(2)); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, ignored);

  EXPECT_EQ(std::filesystem::file_size(path), whole);
  file.append(step(2));
  EXPECT_THAT(events_in(directory / "t").steps("train/loss"), ElementsAre(1, 2));
}

TEST(EventFile, AFolderThatCannotBeMadeIsAFailure) {
  const TemporaryDirectory directory;
  write_file_atomically(directory / "file", std::string_view("x"));
  expect_error(ExitCode::failed, "TensorBoard",
               [&] { EventFile::create(directory / "file", JournalContents{}); });
}

}  // namespace
}  // namespace fovea
