#include "convert/json_keys.h"

#include <cmath>

#include "core/json.h"

namespace fovea {
namespace {

using Json = nlohmann::json;

std::string text_of(const Json* value) { return value ? printable_json(*value) : "absent"; }

bool is_positive(const Json& value) {
  return value.is_number() && std::isfinite(value.get<double>()) && value.get<double>() > 0;
}

}  // namespace

JsonKeys::JsonKeys(std::string path, Json json) : path_(std::move(path)), json_(std::move(json)) {
  if (!json_.is_object()) fail_input("{}: not a JSON object", path_);
}

bool JsonKeys::is_zero(const char* key) const {
  const Json* value = find(key);
  return value && value->is_number() && value->get<double>() == 0;
}

std::vector<std::string> JsonKeys::objects() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : json_.items())
    if (value.is_object()) names.push_back(name);
  return names;
}

int64 JsonKeys::integer(const char* key, std::optional<int64> otherwise, int64 most) const {
  const Json* value = find(key);
  if (!value && otherwise) return *otherwise;
  if (!value || !value->is_number_integer() || *value < 1 || *value > most)
    fail_input("{}: {} must be an integer from 1 to {}, it is {}", path_, key, most, text_of(value));
  return value->get<int64>();
}

double JsonKeys::number(const char* key, std::optional<double> otherwise) const {
  const Json* value = find(key);
  if (!value && otherwise) return *otherwise;
  if (!value || !is_positive(*value))
    fail_input("{}: {} must be a positive number, it is {}", path_, key, text_of(value));
  return value->get<double>();
}

bool JsonKeys::boolean(const char* key, bool otherwise) const {
  const Json* value = find(key);
  if (!value) return otherwise;
  if (!value->is_boolean()) fail_input("{}: {} must be true or false, it is {}", path_, key, text_of(value));
  return value->get<bool>();
}

std::string JsonKeys::string(const char* key, std::optional<std::string> otherwise) const {
  const Json* value = find(key);
  if (!value && otherwise) return *otherwise;
  if (!value || !value->is_string())
    fail_input("{}: {} must be a string, it is {}", path_, key, text_of(value));
  return value->get<std::string>();
}

std::vector<std::string> JsonKeys::strings(const char* key) const {
  const Json* value = find(key);
  if (!value || !value->is_array()) fail_input("{}: {} must be a list, it is {}", path_, key, text_of(value));
  std::vector<std::string> strings;
  for (const Json& item : *value) {
    if (!item.is_string()) fail_input("{}: {} must hold strings, there is {}", path_, key, text_of(&item));
    strings.push_back(item.get<std::string>());
  }
  return strings;
}

std::vector<double> JsonKeys::numbers(const char* key) const {
  const Json* value = find(key);
  if (!value || !value->is_array()) fail_input("{}: {} must be a list, it is {}", path_, key, text_of(value));
  std::vector<double> numbers;
  for (const Json& item : *value) {
    if (!is_positive(item))
      fail_input("{}: {} must hold positive numbers, there is {}", path_, key, text_of(&item));
    numbers.push_back(item.get<double>());
  }
  return numbers;
}

JsonKeys JsonKeys::object(const char* key) const {
  const Json* value = find(key);
  if (value && !value->is_object())
    fail_input("{}: {} must be an object, it is {}", path_, key, text_of(value));
  return {path_, value ? *value : Json::object()};
}

const Json* JsonKeys::find(const char* key) const {
  const auto found = json_.find(key);
  return found == json_.end() || found->is_null() ? nullptr : &*found;
}

}  // namespace fovea
