#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/types.h"

namespace fovea::report {

/// One number and the place in a run's file that it was read from: "run/run.h5:/final/loss", with @name for
/// an attribute.
struct Datum {
  double value = 0;
  std::string h5;
};
using Sample = std::vector<Datum>;  ///< the same quantity over seeds

double mean(const Sample&);
/// Half the width of the 95 % interval of the mean (Student's t); NaN for fewer than two.
double interval(const Sample&);
/// Whether the means differ beyond what seeds explain: Welch's test at 95 %; false for fewer than two each.
bool differ(const Sample& a, const Sample& b);

/// How a number of the page follows from samples a, b, c.
enum class How {
  mean,        ///< mean a
  interval,    ///< interval a
  difference,  ///< mean a - mean b
  percent,     ///< 100 mean a / mean b
  recovery,    ///< 100 (mean a - mean b) / (mean a - mean c)
  max_ratio,   ///< the largest a[i] / b[i]
  min_ratio,   ///< the smallest
  count,       ///< how many there are
};
double derive(How how, const std::vector<Sample>& samples);

/// The number as HTML: <data> whose data-h5 names every file and path behind it (samples apart by " | "),
/// whose data-how says how, and whose data-scale what it was divided by.
std::string cite(How how, const std::vector<Sample>& samples, int decimals, double scale = 1);
std::string cite(const Datum& datum, int decimals, double scale = 1);
/// A text that was read from a file.
std::string cite_text(std::string_view text, const std::string& h5);

std::string escape_html(std::string_view text);

}  // namespace fovea::report
