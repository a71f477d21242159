#include "core/json.h"

#include <unordered_set>
#include <vector>

#include "core/error.h"
#include "core/file.h"

namespace fovea {
namespace {

using Json = nlohmann::json;
constexpr int kDeepest = 64;
// Together they keep a tree under 1 GB: the smallest values take some 80 bytes, members of objects 110.
constexpr size_t kMostBytes = 100'000'000, kMostValues = 4'000'000;

void expect_readable(size_t bytes, const std::string& name) {
  if (bytes > kMostBytes) fail_input("{}: {} bytes of JSON, at most {} are read", name, bytes, kMostBytes);
}

std::string dumped(const Json& value) { return value.dump(-1, ' ', true, Json::error_handler_t::replace); }

// Looks at what the parser sees, and keeps nothing of it. (A callback that watches while a tree is built
// would look through each list again at the end of every object in it.)
class Watch final : public nlohmann::json_sax<Json> {
 public:
  explicit Watch(const std::string& name) : name_(name) {}

  bool null() override { return value(); }
  bool boolean(bool) override { return value(); }
  bool number_integer(number_integer_t) override { return value(); }
  bool number_unsigned(number_unsigned_t) override { return value(); }
  bool number_float(number_float_t, const string_t&) override { return value(); }
  bool string(string_t&) override { return value(); }
  bool binary(binary_t&) override { return value(); }
  bool start_object(size_t) override {
    open_.emplace_back();
    return deeper();
  }
  bool key(string_t& key) override {
    if (!open_.back().insert(key).second) fail_input("{}: its JSON gives {} twice", name_, dumped(key));
    return value();
  }
  bool end_object() override {
    open_.pop_back();
    return higher();
  }
  bool start_array(size_t) override { return deeper(); }
  bool end_array() override { return higher(); }
  bool parse_error(size_t byte, const std::string&, const Json::exception&) override {
    fail_input("{}: not valid JSON, at byte {}", name_, byte);
  }

 private:
  bool value() {
    if (++values_ > kMostValues) fail_input("{}: its JSON has more than {} values", name_, kMostValues);
    return true;
  }
  bool deeper() {
    if (++depth_ > kDeepest) fail_input("{}: its JSON nests deeper than {}", name_, kDeepest);
    return value();
  }
  bool higher() {
    --depth_;
    return true;
  }

  const std::string& name_;
  int depth_ = 0;
  size_t values_ = 0;
  std::vector<std::unordered_set<std::string>> open_;  // keys of each object that is not closed yet
};

}  // namespace

Json parse_json(std::string_view text, const std::string& name) {
  expect_readable(text.size(), name);
  Watch watch(name);
  Json::sax_parse(text, &watch);
  return Json::parse(text);
}

Json read_json(const std::filesystem::path& path) {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path, error);
  if (!error) expect_readable(bytes, path.string());
  return parse_json(read_file(path), path.string());
}

std::string printable(std::string_view text, size_t longest) {
  const std::string line = dumped(Json(std::string(text.substr(0, longest))));
  return line.substr(1, line.size() - 2);
}

std::string printable_json(const Json& value) {
  constexpr size_t kLongest = 60;
  std::string text = dumped(value);
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  return text;
}

}  // namespace fovea
