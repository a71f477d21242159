#include "core/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace fovea {

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

std::string nearest(std::string_view word, std::span<const std::string_view> candidates) {
  constexpr size_t kLongestTypo = 100;  // keeps the table of edits small, whatever a file holds
  if (word.size() > kLongestTypo) return {};
  std::string_view best;
  size_t fewest = std::max<size_t>(2, word.size() / 4) + 1;
  for (const std::string_view candidate : candidates) {
    const size_t distance = edits(word, candidate.substr(0, 2 * kLongestTypo));
    if (distance > fewest || distance >= std::max(word.size(), candidate.size())) continue;
    // of equally near ones that of the same length: letters are swapped more often than left out
    if (distance == fewest && (best.empty() || candidate.size() != word.size())) continue;
    fewest = distance;
    best = candidate;
  }
  return std::string(best);
}

std::string on_one_line(std::string_view text) {
  std::string line;
  for (const char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      line += fmt::format("\\x{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    else
      line += c;
  return line;
}

}  // namespace fovea
