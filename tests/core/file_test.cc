#include "core/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "core/error.h"
#include "core/hash.h"

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
  // As on a full disk: the system takes the first 4096 bytes only.
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit small{4096, limit.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  expect_fails(ExitCode::failed, "a: cannot be written: File too large",
               [&] { write_file_atomically(path, std::string(10000, 'x')); });
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_file(path), "old");
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
