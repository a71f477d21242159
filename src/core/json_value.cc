#include "core/json_value.h"

namespace fovea {
std::string JsonValue::member(std::string_view key) const {
  return name_.empty() ? std::string(key) : fmt::format("{}.{}", name_, key);
}

std::optional<JsonValue> JsonValue::find(std::string_view key) const {
  if (!json_->is_object()) fail_kind("an object");
  const auto found = json_->find(key);
  if (found == json_->end() || found->is_null()) return std::nullopt;
  return JsonValue(*found, *file_, member(key));
}

JsonValue JsonValue::at(std::string_view key) const {
  if (auto value = find(key)) return *std::move(value);
  fail_input("{}: {} is missing", *file_, member(key));
}

JsonValue JsonValue::item(size_t index) const {
  if (index >= array_size()) fail("has no element {}", index);
  return JsonValue((*json_)[index], *file_, fmt::format("{}[{}]", name_, index));
}

size_t JsonValue::array_size() const {
  if (!json_->is_array()) fail_kind("a list");
  return json_->size();
}

std::string JsonValue::string() const {
  if (!json_->is_string()) fail_kind("a string");
  return json_->get<std::string>();
}

bool JsonValue::boolean() const {
  if (!json_->is_boolean()) fail_kind("true or false");
  return json_->get<bool>();
}

int64 JsonValue::integer(int64 least, int64 most) const {
  const bool fits = json_->is_number_unsigned() ? json_->get<uint64>() <= static_cast<uint64>(INT64_MAX)
                                                : json_->is_number_integer();
  if (!fits || json_->get<int64>() < least || json_->get<int64>() > most)
    fail_kind(fmt::format("an integer from {} to {}", least, most));
  return json_->get<int64>();
}

std::string JsonValue::string_of(std::string_view key, std::string_view otherwise) const {
  const auto value = find(key);
  return value ? value->string() : std::string(otherwise);
}

bool JsonValue::boolean_of(std::string_view key, bool otherwise) const {
  const auto value = find(key);
  return value ? value->boolean() : otherwise;
}

void JsonValue::fail_at(const std::string& what) const {
  fail_input("{}: {}{}{}", *file_, name_, name_.empty() ? "" : ": ", what);
}

void JsonValue::fail_kind(std::string_view wanted) const {
  fail_input("{}: {} must be {}, it is {}", *file_, name_.empty() ? "the file" : name_, wanted,
             printable_json(*json_));
}

}  // namespace fovea
