#include "config/bytes.h"

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

namespace fovea {

std::optional<int64> bytes_from_text(std::string_view text) {
  constexpr std::array kUnits = {
      std::pair{std::string_view("B"), int64{1}}, std::pair{std::string_view("KiB"), int64{1} << 10},
      std::pair{std::string_view("MiB"), int64{1} << 20}, std::pair{std::string_view("GiB"), int64{1} << 30}};
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (error != std::errc()) return std::nullopt;
  std::string_view unit(rest, static_cast<size_t>(end - rest));
  if (unit.starts_with(' ')) unit.remove_prefix(1);
  for (const auto& [name, size] : kUnits) {
    if (unit != name) continue;
    const double bytes = std::floor(number * static_cast<double>(size));
    if (!(bytes >= 1 && bytes <= 0x1p60)) return std::nullopt;
    return static_cast<int64>(bytes);
  }
  return std::nullopt;
}

}  // namespace fovea
