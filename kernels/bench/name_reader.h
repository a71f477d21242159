#pragma once

#include <algorithm>
#include <charconv>
#include <string_view>

#include "core/error.h"
#include "core/types.h"

namespace fovea {

/// The name of a case that is timed, eaten from the left. What it refuses it refuses with an example.
class NameReader {
 public:
  NameReader(std::string_view name, std::string_view example) : name_(name), rest_(name), example_(example) {}

  /// Up to the next slash, or all that is left.
  std::string_view word() {
    const size_t slash = std::min(rest_.find('/'), rest_.size());
    const std::string_view word = rest_.substr(0, slash);
    rest_.remove_prefix(std::min(slash + 1, rest_.size()));
    return word;
  }
  bool take(std::string_view prefix) {
    if (!rest_.starts_with(prefix)) return false;
    rest_.remove_prefix(prefix.size());
    return true;
  }
  /// A number of at least 1 behind this prefix.
  int64 number(std::string_view prefix) {
    constexpr int64 kMost = int64{1} << 30;
    int64 value = 0;
    if (!take(prefix)) refuse(fmt::format("{} is missing", prefix));
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc() || value < 1 || value > kMost)
      refuse(fmt::format("{} wants a number from 1 to 2^30", prefix));
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return value;
  }
  void end(std::string_view of) {
    if (!rest_.empty()) refuse(fmt::format("\"{}\" is left behind {}", rest_, of));
  }
  [[noreturn]] void refuse(std::string_view why) const {
    fail_usage("{}: {}; a case is {}", name_, why, example_);
  }
  bool empty() const { return rest_.empty(); }

 private:
  std::string_view name_, rest_, example_;
};

}  // namespace fovea
