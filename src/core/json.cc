#include "core/json.h"

#include <set>
#include <vector>

#include "core/error.h"

namespace fovea {
namespace {

using Json = nlohmann::json;
constexpr int kDeepest = 64;
// Together they keep a tree under 1 GB: the smallest values take some 80 bytes, members of objects 110.
constexpr size_t kMostBytes = 100'000'000, kMostValues = 5'000'000;

std::string dumped(const Json& value) { return value.dump(-1, ' ', true, Json::error_handler_t::replace); }

// Looks at each event of the parser; keeps everything.
class Watch {
 public:
  explicit Watch(const std::string& name) : name_(name) {}

  bool operator()(int depth, Json::parse_event_t event, const Json& parsed) {
    if (depth > kDeepest) fail_input("{}: its JSON nests deeper than {}", name_, kDeepest);
    if (++events_ > kMostValues) fail_input("{}: its JSON has more than {} values", name_, kMostValues);
    if (event == Json::parse_event_t::object_start) open_.emplace_back();
    if (event == Json::parse_event_t::object_end) open_.pop_back();
    if (event == Json::parse_event_t::key &&
        !open_.back().insert(parsed.get_ref<const std::string&>()).second)
      fail_input("{}: its JSON gives {} twice", name_, dumped(parsed));
    return true;
  }

 private:
  const std::string& name_;
  size_t events_ = 0;
  std::vector<std::set<std::string>> open_;  // keys of each object that is not closed yet
};

}  // namespace

Json parse_json(std::string_view text, const std::string& name) {
  if (text.size() > kMostBytes)
    fail_input("{}: {} bytes of JSON, at most {} are read", name, text.size(), kMostBytes);
  Watch watch(name);
  try {
    return Json::parse(text, [&](int depth, Json::parse_event_t event, Json& parsed) {
      return watch(depth, event, parsed);
    });
  } catch (const Json::parse_error& error) {
    fail_input("{}: not valid JSON, at byte {}", name, error.byte);
  } catch (const Json::exception&) {  // a number beyond what double holds
    fail_input("{}: not valid JSON", name);
  }
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
