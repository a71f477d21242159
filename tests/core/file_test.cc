#include "core/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>

#include "core/error.h"
#include "core/hash.h"
#include "tests/full_disk.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

/// A folder that is gone after the test.
class File : public testing::Test {
 protected:
  File() {
    std::string name = (fs::temp_directory_path() / "fovea-file-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~File() override { fs::remove_all(folder_); }
  size_t entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  fs::path folder_;
};

template <class F>
void expect_fails(ExitCode code, const std::string& text, F f) {
  try {
    f();
    ADD_FAILURE() << "no error; wanted " << text;
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), code);
    EXPECT_THAT(error.what(), testing::HasSubstr(text));
    EXPECT_THAT(error.what(), testing::Not(testing::HasSubstr("\n")));
  }
}

TEST_F(File, WhatIsWrittenIsRead) {
  const fs::path path = folder_ / "a";
  for (const std::string& text : {std::string(), std::string("one"), std::string(100000, '\0') + "\xff\n"}) {
    write_file_atomically(path, text);
    EXPECT_EQ(read_file(path), text);
    const MappedFile mapped(path);
    EXPECT_EQ(mapped.bytes().size(), text.size());
    EXPECT_TRUE(text.empty() || std::memcmp(mapped.bytes().data(), text.data(), text.size()) == 0);
  }
  EXPECT_EQ(entries(), 1u) << "no temporary file is left";
}

TEST_F(File, AFailedWriteLeavesTheOldFileAndNothingBeside) {
  const fs::path path = folder_ / "a";
  write_file_atomically(path, "old");
  {
    const FullDisk full(4096);
    expect_fails(ExitCode::interrupted, "a: cannot be written: File too large (make room)",
                 [&] { write_file_atomically(path, std::string(10000, 'x')); });
  }
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(entries(), 1u);
}

// What a killed writer left is removed by the next writer of the same file; what another process is writing,
// and what only looks like it, is not.
TEST_F(File, WhatAKilledWriterLeftIsRemoved) {
  const fs::path path = folder_ / "a";
  const auto touch = [&](const char* name) { std::ofstream(folder_ / name) << "half"; };
  for (const char* name : {"a.tmp.1", "a.tmp.99999999", "b.tmp.1", "a.tmp.", "a.tmp.1x", "a.tmp", ".tmp.1"})
    touch(name);
  touch("a.tmp.7");
  const int writer = ::open((folder_ / "a.tmp.7").c_str(), O_WRONLY);
  ASSERT_EQ(::flock(writer, LOCK_EX), 0);
  write_file_atomically(path, "new");
  EXPECT_EQ(read_file(path), "new");
  EXPECT_FALSE(fs::exists(folder_ / "a.tmp.1"));
  EXPECT_FALSE(fs::exists(folder_ / "a.tmp.99999999"));
  for (const char* name : {"a.tmp.7", "b.tmp.1", "a.tmp.", "a.tmp.1x", "a.tmp", ".tmp.1"})
    EXPECT_TRUE(fs::exists(folder_ / name)) << name;
  remove_abandoned_temporaries(folder_);
  EXPECT_FALSE(fs::exists(folder_ / "b.tmp.1"));
  EXPECT_TRUE(fs::exists(folder_ / "a.tmp.7"));
  ::close(writer);
  remove_abandoned_temporaries(folder_);
  EXPECT_FALSE(fs::exists(folder_ / "a.tmp.7"));
  for (const char* name : {"a", "a.tmp.", "a.tmp.1x", "a.tmp", ".tmp.1"})
    EXPECT_TRUE(fs::exists(folder_ / name)) << name;
  remove_abandoned_temporaries(folder_ / "none");
}

// A process that has the number of one that was killed long ago.
TEST_F(File, ALeftoverOfTheSameNumberIsWrittenAnew) {
  const fs::path path = folder_ / "a";
  std::ofstream(folder_ / fmt::format("a.tmp.{}", ::getpid())) << std::string(1000, 'x');
  write_file_atomically(path, "new");
  EXPECT_EQ(read_file(path), "new");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(File, AReaderSeesTheOldFileOrTheNewOneWhole) {
  const fs::path path = folder_ / "a";
  write_file_atomically(path, std::string(1000, 'a'));
  const MappedFile old(path);
  write_file_atomically(path, std::string(2000, 'b'));
  EXPECT_EQ(old.bytes().size(), 1000u);
  EXPECT_EQ(old.bytes().back(), std::byte{'a'});
  EXPECT_EQ(read_file(path), std::string(2000, 'b'));
}

TEST_F(File, WhatCannotBeReadIsNamedWithTheReason) {
  const fs::path missing = folder_ / "missing";
  expect_fails(ExitCode::input, "missing: cannot be opened: No such file", [&] { read_file(missing); });
  expect_fails(ExitCode::input, "missing: cannot be opened: No such file", [&] { MappedFile{missing}; });
  expect_fails(ExitCode::input, "is not a regular file", [&] { read_file(folder_); });
  expect_fails(ExitCode::input, "is not a regular file", [&] { MappedFile{folder_}; });
  expect_fails(ExitCode::failed, "cannot be written: No such file",
               [&] { write_file_atomically(folder_ / "no" / "a", "x"); });
  expect_fails(ExitCode::failed, "cannot be renamed", [&] { rename_durably(missing, folder_ / "b"); });
  expect_fails(ExitCode::failed, "cannot be written to disk", [&] { sync_to_disk(missing); });
}

TEST_F(File, RenamesOver) {
  write_file_atomically(folder_ / "a", "new");
  write_file_atomically(folder_ / "b", "old");
  rename_durably(folder_ / "a", folder_ / "b");
  EXPECT_EQ(read_file(folder_ / "b"), "new");
  EXPECT_FALSE(fs::exists(folder_ / "a"));
}

TEST_F(File, AMappingMoves) {
  write_file_atomically(folder_ / "a", "text");
  MappedFile first(folder_ / "a");
  const MappedFile second = std::move(first);
  EXPECT_EQ(second.bytes().size(), 4u);
  MappedFile third;
  EXPECT_TRUE(third.bytes().empty());
  third = MappedFile(folder_ / "a");
  EXPECT_EQ(third.bytes()[0], std::byte{'t'});
}

// The empty input's hashes are XXH3's published ones; altering any one bit alters both.
TEST(Hash, IsXxh3) {
  EXPECT_EQ(hash64({}), 0x2d06800538d394c2u);
  EXPECT_EQ(hash128(std::string_view()), "99aa06d3014798d86001c324468d497f");
}

RC_GTEST_PROP(HashProperty, AnAlteredBitAltersTheHash, (std::string text)) {
  RC_PRE(!text.empty());
  std::string altered = text;
  const auto at = *rc::gen::inRange<size_t>(0, text.size());
  altered[at] = static_cast<char>(altered[at] ^ (1 << *rc::gen::inRange(0, 8)));
  RC_ASSERT(hash128(text) != hash128(altered));
  RC_ASSERT(hash64(std::as_bytes(std::span(text))) != hash64(std::as_bytes(std::span(altered))));
}

}  // namespace
}  // namespace fovea
