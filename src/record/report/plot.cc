#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "record/report/figures.h"

namespace fovea::report::plot {
namespace {

/// Multiples of 1, 2 or 5 times a power of ten within the range, about `wanted` of them.
std::vector<double> even_ticks(double low, double high, int wanted) {
  const double rough = (high - low) / wanted, power = std::pow(10, std::floor(std::log10(rough)));
  const double lead = rough / power;
  const double step = power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
  std::vector<double> ticks;
  for (double k = std::ceil(low / step - 1e-9); k * step <= high * (1 + 1e-9); ++k) ticks.push_back(k * step);
  return ticks;
}

std::vector<double> logarithmic_ticks(double low, double high) {
  std::vector<double> ticks;
  for (const auto& leads : {std::vector<double>{1},
                            {1, 2, 5},
                            {1, 1.5, 2, 3, 4, 5, 7},
                            {1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9}}) {
    ticks.clear();
    for (double power = std::pow(10, std::floor(std::log10(low))); power <= high; power *= 10)
      for (const double lead : leads)
        if (lead * power >= low * (1 - 1e-9) && lead * power <= high * (1 + 1e-9))
          ticks.push_back(lead * power);
    if (ticks.size() >= 4) break;
  }
  return ticks;
}

}  // namespace

void spread(std::vector<Label>& labels, double distance) {
  std::stable_sort(labels.begin(), labels.end(), [](const Label& a, const Label& b) { return a.y < b.y; });
  for (Label& label : labels) label.placed = std::clamp(label.y, 0.0, 1.0);
  // each pass moves a touching pair apart by halves, so that a cluster stays centred on its curves
  for (int pass = 0; pass < 200; ++pass) {
    for (size_t i = 1; i < labels.size(); ++i) {
      const double overlap = distance - (labels[i].placed - labels[i - 1].placed);
      if (overlap <= 1e-6) continue;
      labels[i].placed += overlap / 2;
      labels[i - 1].placed -= overlap / 2;
    }
    if (!labels.empty()) labels.front().placed = std::max(labels.front().placed, 0.0);
  }
}

double Axis::fraction(double value) const {
  if (logarithmic) return std::log(value / low) / std::log(high / low);
  return (value - low) / (high - low);
}

std::string Axis::ticks_for_gnuplot(bool numbers) const {
  size_t decimals = 0;  // as many for each as the longest needs
  for (const double tick : ticks) {
    const std::string text = fmt::format("{:.6g}", tick);
    if (text.find('.') != std::string::npos) decimals = std::max(decimals, text.size() - text.find('.') - 1);
  }
  std::string list;
  for (const double tick : ticks)
    list += fmt::format("{}'{}' {}", list.empty() ? "" : ", ",
                        numbers ? fmt::format("{:.{}f}", tick, decimals) : "", tick);
  return fmt::format("({})", list);
}

Axis axis_over(const std::vector<double>& values) {
  Axis axis;
  if (values.empty()) return axis;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  axis.logarithmic = *low > 0 && *high > 1.6 * *low;
  if (axis.logarithmic) {
    const double room = std::pow(*high / *low, 0.06);
    axis.low = *low / room;
    axis.high = *high * room;
    axis.ticks = logarithmic_ticks(axis.low, axis.high);
  } else {
    const double room = *high > *low ? 0.08 * (*high - *low) : 0.05 * std::max(std::abs(*high), 1e-3);
    axis.low = *low - room;
    axis.high = *high + room;
    axis.ticks = even_ticks(axis.low, axis.high, 5);
  }
  return axis;
}

std::string quoted(std::string_view text) {
  std::string result = "'";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < ' ') continue;
    result += c;
    if (c == '\'') result += c;
  }
  return result + "'";
}

std::string style(const Inks& inks) {
  return fmt::format(
      "set border 1 lc rgb '{0}' lw 0.8\nunset key\n"
      "set tics nomirror textcolor rgb '{0}'\nset xtics scale 0.5\nset ytics scale 0\n"
      "set grid ytics lt 1 lc rgb '{1}' lw 0.8\nset xlabel textcolor rgb '{0}'\nset ylabel textcolor rgb "
      "'{0}'\n",
      inks.text, inks.faint);
}

namespace {

constexpr std::string_view kSimilar = " similar";

struct ConversionInk {
  std::string_view method;
  std::string Inks::*ink;
};
constexpr ConversionInk kConversionInks[] = {{"mean", &Inks::mean},
                                             {"first", &Inks::first},
                                             {"random", &Inks::random},
                                             {"mean_scaled", &Inks::mean_scaled},
                                             {"aligned", &Inks::aligned},
                                             {"aligned_unscaled", &Inks::aligned_unscaled},
                                             {"aligned_activations", &Inks::aligned_activations}};

}  // namespace

std::string colour_of(const Inks& inks, RunRole role, const std::string& conversion) {
  if (role == RunRole::control_scratch) return inks.scratch;
  const std::string_view method = std::string_view(conversion).substr(0, conversion.find(' '));
  if (role == RunRole::uptrained)
    for (const ConversionInk& known : kConversionInks)
      if (known.method == method) return inks.*known.ink;
  if (role == RunRole::train) return inks.mean;
  return inks.mha;
}

std::string label_of(RunRole role, const std::string& conversion) {
  switch (role) {
    case RunRole::baseline:
      return "MHA baseline";
    case RunRole::control_mha:
      return "MHA, same tokens";
    case RunRole::control_scratch:
      return "GQA from scratch";
    case RunRole::train:
      return "trained";
    case RunRole::converted:
    case RunRole::uptrained:
      break;
  }
  return conversion == "none" ? "uptrained" : label_of(conversion);
}

std::string label_of(const std::string& conversion) {
  std::string label = conversion;
  std::replace(label.begin(), label.end(), '_', ' ');
  return label;
}

int point_of(RunRole role, const std::string& conversion) {
  if (role == RunRole::control_scratch) return 13;                        // diamond
  if (role != RunRole::uptrained) return role == RunRole::train ? 7 : 5;  // disc, square
  if (conversion.ends_with(kSimilar)) return 6;                           // circle
  return conversion == "first" ? 9 : conversion == "random" ? 11 : 7;     // triangles, disc
}

}  // namespace fovea::report::plot
