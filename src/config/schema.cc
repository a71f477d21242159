#include "config/schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/error.h"

namespace fovea {
namespace {

template <class N>
bool is_within(const Bounds& bounds, N number) {
  const double x = static_cast<double>(number);
  if (!std::isfinite(x)) return false;
  if (bounds.or_else && x == *bounds.or_else) return true;
  return (bounds.above_least ? x > bounds.least : x >= bounds.least) &&
         (bounds.below_most ? x < bounds.most : x <= bounds.most);
}

bool matches(std::string_view pattern, std::string_view word) {
  if (!pattern.ends_with(" K")) return pattern == word;
  const std::string_view prefix = pattern.substr(0, pattern.size() - 1);
  if (!word.starts_with(prefix)) return false;
  word.remove_prefix(prefix.size());
  int64 count = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), count);
  // One spelling per value, since the text is part of the identity: no leading zeros.
  return error == std::errc{} && end == word.data() + word.size() && count >= 1 && word.front() != '0';
}

bool is_word(const ConfigKey& key, std::string_view word) {
  return key.words.empty() ||
         std::ranges::any_of(key.words, [&](std::string_view pattern) { return matches(pattern, word); });
}

std::string bounds_text(const Bounds& bounds) {
  std::string text;
  if (std::isfinite(bounds.least) && std::isfinite(bounds.most))
    text = fmt::format(" in {}{}, {}{}", bounds.above_least ? '(' : '[', bounds.least, bounds.most,
                       bounds.below_most ? ')' : ']');
  else if (std::isfinite(bounds.least))
    text = fmt::format(" {} {}", bounds.above_least ? ">" : ">=", bounds.least);
  if (bounds.or_else) text += fmt::format(", or {}", *bounds.or_else);
  return text;
}

}  // namespace

const ConfigKey* find_config_key(std::string_view path) {
  const auto& keys = config_keys();
  const auto found = std::ranges::find(keys, path, &ConfigKey::path);
  return found == keys.end() ? nullptr : &*found;
}

ConfigValue value_of(const ConfigKey& key, const Config& config) {
  // The slot is only read.
  return std::visit([](const auto* member) { return ConfigValue(*member); },
                    key.slot(const_cast<Config&>(config)));
}

void set_value(const ConfigKey& key, Config& config, const ConfigValue& value) {
  std::visit(
      [&](auto* member) {
        using Type = std::remove_reference_t<decltype(*member)>;
        const Type* typed = std::get_if<Type>(&value);
        FOVEA_CHECK(typed, "{} set to a value of another type", key.path);
        *member = *typed;
      },
      key.slot(config));
}

std::string expectation(const ConfigKey& key) {
  static constexpr std::string_view kOne[] = {"a string", "an integer", "a number", "true or false"};
  static constexpr std::string_view kMany[] = {"strings", "integers", "numbers"};
  Config config;
  const size_t type = key.slot(config).index();
  const bool list = type > 3;
  std::string text{list ? kMany[type - 4] : kOne[type]};
  if (!key.words.empty()) {
    text = "one of ";
    for (size_t i = 0; i < key.words.size(); ++i)
      text += fmt::format("{}\"{}\"", i ? ", " : "", key.words[i]);
  }
  text += bounds_text(key.bounds);
  if (list) text = fmt::format("a list{} {}", key.words.empty() ? " of" : ", each", text);
  if (!key.may_be_empty) text += ", not empty";
  return text;
}

bool acceptable(const ConfigKey& key, const ConfigValue& value) {
  struct Check {
    const ConfigKey& key;
    bool operator()(bool) const { return true; }
    bool operator()(int64 x) const { return is_within(key.bounds, x); }
    bool operator()(double x) const { return is_within(key.bounds, x); }
    bool operator()(const std::string& x) const {
      return is_word(key, x) && (key.may_be_empty || !x.empty());
    }
    bool operator()(const std::vector<std::string>& list) const {
      return (key.may_be_empty || !list.empty()) &&
             std::ranges::all_of(list, [&](const std::string& x) { return is_word(key, x); });
    }
    bool operator()(const std::vector<int64>& list) const {
      return (key.may_be_empty || !list.empty()) &&
             std::ranges::all_of(list, [&](int64 x) { return is_within(key.bounds, x); });
    }
    bool operator()(const std::vector<double>& list) const {
      return (key.may_be_empty || !list.empty()) &&
             std::ranges::all_of(list, [&](double x) { return is_within(key.bounds, x); });
    }
  };
  return std::visit(Check{key}, value);
}

}  // namespace fovea
