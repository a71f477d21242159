#pragma once

// What all fuzz targets share. A target is one function, LLVMFuzzerTestOneInput(), that hands its bytes to a
// reader of files from outside: the reader may accept them or refuse them in one line, and nothing else.

#include <pthread.h>
#include <unistd.h>
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
#include <sanitizer/common_interface_defs.h>
#endif

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>

#include "core/error.h"

namespace fovea::fuzz {

/// A place for files of this process, in memory where the system has such a place; gone at the end.
class Folder {
 public:
  Folder() {
    const std::filesystem::path memory = "/dev/shm";
    const auto base = std::filesystem::is_directory(memory) ? memory : std::filesystem::temp_directory_path();
    path_ = base / fmt::format("fovea-fuzz-{}", getpid());
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(std::string_view name, std::string_view bytes) const {
    const std::filesystem::path file = path_ / name;
    std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return file;
  }

 private:
  std::filesystem::path path_;
};

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
/// A reader that dies in a process of its own (record/foreign_hdf5.h) is no finding: nothing is noted there.
inline const int kForksAreQuiet =
    pthread_atfork(nullptr, nullptr, [] { __sanitizer_set_death_callback([] {}); });
#endif

inline const Folder& folder() {
  static const Folder kFolder;
  return kFolder;
}

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// Runs a reader; a refusal that is no UserError, or not one line, is a finding.
template <class F>
void may_refuse(F&& read) {
  try {
    read();
  } catch (const UserError& error) {
    const std::string_view line = error.what();
    const bool good = !line.empty() && line.find('\n') == line.npos && error.code() != ExitCode::done;
    if (!good) {
      std::fprintf(stderr, "not one line: %s\n", error.what());
      std::abort();
    }
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION  // libFuzzer's programs have no use for it
    std::printf("  refused: %s\n", error.what());
#endif
  }
}

}  // namespace fovea::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
