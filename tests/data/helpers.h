#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "core/error.h"

namespace fovea {

/// A folder of its own for one test, gone at its end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "fovea-data-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  /// Writes a file, with the folders above it, and gives its path.
  std::string write(std::string_view name, std::string_view text) const {
    const std::filesystem::path path = path_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

/// The line that a call fails with, after a check that it is one line of the expected kind.
template <class F>
std::string error_of(F f, ExitCode expected = ExitCode::input) {
  try {
    f();
  } catch (const UserError& error) {
    const std::string line = error.what();
    EXPECT_EQ(error.code(), expected) << line;
    EXPECT_EQ(line.find('\n'), line.npos) << line;
    return line;
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace fovea
