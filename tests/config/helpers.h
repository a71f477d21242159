#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "config/load.h"
#include "core/error.h"

namespace fovea {

/// A folder of its own for one test, gone when the test ends.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "fovea-config-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << text;
    return at(name);
  }
  std::string at(const std::string& name) const { return (path_ / name).string(); }
  LoadedConfig load(const std::string& text, const std::vector<std::string>& overrides = {}) const {
    return load_config(write("x.toml", text), overrides);
  }
  /// The text without this folder's name.
  std::string relative(std::string text) const {
    const std::string prefix = path_.string() + "/";
    for (size_t i; (i = text.find(prefix)) != std::string::npos;) text.erase(i, prefix.size());
    return text;
  }
  /// The exit code and the line of the user error that loading raises, as "2 x.toml:1:1: ...".
  std::string error(const std::string& name, const std::vector<std::string>& overrides = {}) const {
    try {
      load_config(at(name), overrides);
    } catch (const UserError& failure) {
      return std::to_string(static_cast<int>(failure.code())) + " " + relative(failure.what());
    }
    return "no error";
  }
  std::string error_in(const std::string& text, const std::vector<std::string>& overrides = {}) const {
    write("x.toml", text);
    return error("x.toml", overrides);
  }

 private:
  std::filesystem::path path_;
};

inline std::vector<std::string> names_of(const LoadedConfig& loaded) {
  std::vector<std::string> names;
  for (const RunVariant& variant : expand(loaded)) names.push_back(variant.name);
  return names;
}

}  // namespace fovea
