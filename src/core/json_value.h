#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/json.h"
#include "core/types.h"

namespace fovea {

using Json = nlohmann::json;

/// A value of a file from outside, and what it is called in messages: "FILE: model.unk_token". Whoever asks
/// for a kind that it is not of gets a UserError (input).
class JsonValue {
 public:
  /// Both outlive it.
  JsonValue(const Json& json, const std::string& file, std::string name = {})
      : json_(&json), file_(&file), name_(std::move(name)) {}

  const Json& json() const { return *json_; }
  const std::string& name() const { return name_; }
  /// A member of this object; null is as good as absent.
  std::optional<JsonValue> find(std::string_view key) const;
  JsonValue at(std::string_view key) const;  ///< one that must be there
  JsonValue item(size_t index) const;        ///< of this array
  size_t array_size() const;

  std::string string() const;
  bool boolean() const;
  int64 integer(int64 least, int64 most) const;
  std::string string_of(std::string_view key, std::string_view otherwise) const;
  bool boolean_of(std::string_view key, bool otherwise) const;

  template <class... A>
  [[noreturn]] void fail(fmt::format_string<A...> format, A&&... a) const {
    fail_at(fmt::format(format, std::forward<A>(a)...));
  }

 private:
  [[noreturn]] void fail_at(const std::string& what) const;
  [[noreturn]] void fail_kind(std::string_view wanted) const;
  std::string member(std::string_view key) const;

  const Json* json_;
  const std::string* file_;
  std::string name_;
};

}  // namespace fovea
