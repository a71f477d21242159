#include "config/suggest.h"

#include <algorithm>

#include "config/schema.h"
#include "core/text.h"

namespace fovea {
namespace {

std::string_view last_word(std::string_view path) { return path.substr(path.rfind('.') + 1); }

}  // namespace

std::string nearest_config_key(std::string_view path) {
  constexpr size_t kLongestTypo = 100;  // keeps the table of edits small, whatever a file holds
  if (path.size() > kLongestTypo) return {};
  std::string_view best;
  size_t fewest = std::max<size_t>(2, path.size() / 4) + 1;
  for (const ConfigKey& key : config_keys()) {
    // A name in the wrong table, or without one, is as near as a slip of one letter.
    size_t distance = edits(path, key.path);
    if (path.size() > 1) distance = std::min(distance, edits(last_word(path), last_word(key.path)) * 2 + 1);
    if (distance < fewest) {
      fewest = distance;
      best = key.path;
    }
  }
  return std::string(best);
}

}  // namespace fovea
