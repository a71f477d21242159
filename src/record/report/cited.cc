#include "record/report/cited.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/error.h"

namespace fovea::report {
namespace {

std::vector<double> values(const Sample& sample) {
  std::vector<double> result;
  for (const Datum& d : sample) result.push_back(d.value);
  return result;
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

const char* name_of(Part part) {
  switch (part) {
    case Part::mean:
      return "contrast-mean";
    case Part::half_width:
      return "contrast-half-width";
    case Part::low:
      return "contrast-low";
    case Part::high:
      return "contrast-high";
    case Part::seeds_needed:
      break;
  }
  return "contrast-seeds-needed";
}

/// The number with every place that is behind it; rule: how it follows from them, as attributes.
std::string data_element(double value, int decimals, const std::vector<Sample>& samples,
                         const std::string& rule) {
  std::string places;
  for (const Sample& sample : samples) {
    if (!places.empty()) places += " | ";
    for (size_t i = 0; i < sample.size(); ++i)
      places += fmt::format("{}{}", i ? " " : "", escape_html(sample[i].h5));
  }
  std::string text = fmt::format("{:.{}f}", value, decimals);
  if (std::stod(text) == 0 && text.front() == '-') text.erase(0, 1);
  return fmt::format(R"(<data value="{}" data-h5="{}" {}>{}</data>)", value, places, rule, text);
}

}  // namespace

double mean(const Sample& sample) {
  double sum = 0;
  for (const Datum& d : sample) sum += d.value;
  return sum / static_cast<double>(sample.size());
}

double interval(const Sample& sample) { return fovea::estimate(values(sample)).half_width; }

double derive(How how, const std::vector<Sample>& s) {
  switch (how) {
    case How::mean:
      return mean(s.at(0));
    case How::interval:
      return interval(s.at(0));
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
  return data_element(derive(how, samples) / scale, decimals, samples,
                      fmt::format(R"(data-how="{}" data-scale="{}")", name_of(how), scale));
}

std::string cite(const Datum& datum, int decimals, double scale) {
  return cite(How::mean, {{datum}}, decimals, scale);
}

Estimate estimate(const Contrast& contrast) {
  std::vector<double> sums(contrast.size(), 0.0);
  for (size_t k = 0; k < contrast.samples.size(); ++k)
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += contrast.weights[k] * contrast.samples[k].at(i).value;
  return fovea::estimate(sums);
}

Contrast difference(Sample a, Sample b) { return {{1, -1}, {std::move(a), std::move(b)}}; }

double derive(Part part, const Contrast& contrast, double threshold) {
  const Estimate e = estimate(contrast);
  switch (part) {
    case Part::mean:
      return e.mean;
    case Part::half_width:
      return e.half_width;
    case Part::low:
      return e.mean - e.half_width;
    case Part::high:
      return e.mean + e.half_width;
    case Part::seeds_needed:
      break;
  }
  const auto needed = observations_needed(e.mean - threshold, e.deviation);
  return needed ? static_cast<double>(*needed) : std::numeric_limits<double>::quiet_NaN();
}

std::string cite(Part part, const Contrast& contrast, int decimals, double threshold) {
  std::string weights;
  for (const double weight : contrast.weights)
    weights += fmt::format("{}{}", weights.empty() ? "" : " ", weight);
  return data_element(derive(part, contrast, threshold), decimals, contrast.samples,
                      fmt::format(R"(data-how="{}" data-weights="{}" data-threshold="{}")", name_of(part),
                                  weights, threshold));
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
