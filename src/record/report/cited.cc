#include "record/report/cited.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/error.h"

namespace fovea::report {
namespace {

/// Student's t at 97.5 %, by degrees of freedom from 1; the normal's beyond.
double t_quantile(double freedom) {
  constexpr std::array kT = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
                             2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
                             2.080,  2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};
  const auto whole =
      static_cast<size_t>(std::max(1.0, std::floor(freedom)));  // rounding down is the safe side
  return whole <= kT.size() ? kT[whole - 1] : 1.98;
}

/// Variance of the mean.
double variance_of_mean(const Sample& sample) {
  const double m = mean(sample);
  double sum = 0;
  for (const Datum& d : sample) sum += (d.value - m) * (d.value - m);
  const auto n = static_cast<double>(sample.size());
  return sum / (n - 1) / n;
}

double extreme_ratio(const Sample& a, const Sample& b, bool largest) {
  double result = std::numeric_limits<double>::quiet_NaN();
  for (size_t i = 0; i < a.size(); ++i) {
    const double ratio = a[i].value / b[i].value;
    if (std::isnan(result) || (largest ? ratio > result : ratio < result)) result = ratio;
  }
  return result;
}

const char* name_of(How how) {
  switch (how) {
    case How::mean:
      return "mean";
    case How::interval:
      return "interval";
    case How::difference:
      return "difference";
    case How::percent:
      return "percent";
    case How::recovery:
      return "recovery";
    case How::max_ratio:
      return "max-ratio";
    case How::min_ratio:
      return "min-ratio";
    case How::count:
      break;
  }
  return "count";
}

}  // namespace

double mean(const Sample& sample) {
  double sum = 0;
  for (const Datum& d : sample) sum += d.value;
  return sum / static_cast<double>(sample.size());
}

double interval(const Sample& sample) {
  if (sample.size() < 2) return std::numeric_limits<double>::quiet_NaN();
  return t_quantile(static_cast<double>(sample.size() - 1)) * std::sqrt(variance_of_mean(sample));
}

bool differ(const Sample& a, const Sample& b) {
  if (a.size() < 2 || b.size() < 2) return false;
  const double va = variance_of_mean(a), vb = variance_of_mean(b);
  const double distance = std::abs(mean(a) - mean(b));
  if (va + vb == 0) return distance > 0;
  const double freedom =
      (va + vb) * (va + vb) /
      (va * va / static_cast<double>(a.size() - 1) + vb * vb / static_cast<double>(b.size() - 1));
  return distance > t_quantile(freedom) * std::sqrt(va + vb);
}

double derive(How how, const std::vector<Sample>& s) {
  switch (how) {
    case How::mean:
      return mean(s.at(0));
    case How::interval:
      return interval(s.at(0));
    case How::difference:
      return mean(s.at(0)) - mean(s.at(1));
    case How::percent:
      return 100 * mean(s.at(0)) / mean(s.at(1));
    case How::recovery:
      return 100 * (mean(s.at(0)) - mean(s.at(1))) / (mean(s.at(0)) - mean(s.at(2)));
    case How::max_ratio:
      return extreme_ratio(s.at(0), s.at(1), true);
    case How::min_ratio:
      return extreme_ratio(s.at(0), s.at(1), false);
    case How::count:
      break;
  }
  return static_cast<double>(s.at(0).size());
}

std::string cite(How how, const std::vector<Sample>& samples, int decimals, double scale) {
  const double value = derive(how, samples) / scale;
  std::string places;
  for (const Sample& sample : samples) {
    if (!places.empty()) places += " | ";
    for (size_t i = 0; i < sample.size(); ++i)
      places += fmt::format("{}{}", i ? " " : "", escape_html(sample[i].h5));
  }
  std::string text = fmt::format("{:.{}f}", value, decimals);
  if (std::stod(text) == 0 && text.front() == '-') text.erase(0, 1);
  return fmt::format(R"(<data value="{}" data-h5="{}" data-how="{}" data-scale="{}">{}</data>)", value,
                     places, name_of(how), scale, text);
}

std::string cite(const Datum& datum, int decimals, double scale) {
  return cite(How::mean, {{datum}}, decimals, scale);
}

std::string cite_text(std::string_view text, const std::string& h5) {
  return fmt::format(R"(<span data-h5="{}">{}</span>)", escape_html(h5), escape_html(text));
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace fovea::report
