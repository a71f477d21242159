#include "config/suggest.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "config/schema.h"

namespace fovea {
namespace {

std::string_view last_word(std::string_view path) { return path.substr(path.rfind('.') + 1); }

}  // namespace

size_t edits(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  std::iota(d[0].begin(), d[0].end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i)
    for (size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.size()][b.size()];
}

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
