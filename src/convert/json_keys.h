#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/types.h"

namespace fovea {

/// A JSON object from outside whose members are asked for by key, kind and range. null is as good as absent.
/// What is missing or of another kind throws UserError (input): one line with the file and the key.
class JsonKeys {
 public:
  /// `path`: what messages call the file.
  JsonKeys(std::string path, nlohmann::json json);

  bool has(const char* key) const { return find(key) != nullptr; }
  bool is_null(const char* key) const { return json_.contains(key) && !has(key); }
  bool is_zero(const char* key) const;
  /// Of the members that are objects.
  std::vector<std::string> objects() const;
  bool empty() const { return json_.empty(); }

  /// 1 or more.
  int64 integer(const char* key, std::optional<int64> otherwise = {}, int64 most = kLargest) const;
  /// Above 0.
  double number(const char* key, std::optional<double> otherwise = {}) const;
  bool boolean(const char* key, bool otherwise) const;
  std::string string(const char* key, std::optional<std::string> otherwise = {}) const;
  std::vector<std::string> strings(const char* key) const;
  /// Each above 0.
  std::vector<double> numbers(const char* key) const;
  /// Empty where there is none.
  JsonKeys object(const char* key) const;

  template <class... A>
  [[noreturn]] void fail(fmt::format_string<A...> format, A&&... a) const {
    fail_input("{}: {}", path_, fmt::format(format, std::forward<A>(a)...));
  }

 private:
  static constexpr int64 kLargest = int64{1} << 24;

  const nlohmann::json* find(const char* key) const;

  std::string path_;
  nlohmann::json json_;
};

}  // namespace fovea
