#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/types.h"
#include "record/statistics.h"

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

/// How a number of the page follows from samples a, b, c.
enum class How {
  mean,       ///< mean a
  interval,   ///< interval a
  percent,    ///< 100 mean a / mean b
  recovery,   ///< 100 (mean a - mean b) / (mean a - mean c)
  max_ratio,  ///< the largest a[i] / b[i]
  min_ratio,  ///< the smallest
  count,      ///< how many there are
};
double derive(How how, const std::vector<Sample>& samples);

/// The number as HTML: <data> whose data-h5 names every file and path behind it (samples apart by " | "),
/// whose data-how says how, and whose data-scale what it was divided by.
std::string cite(How how, const std::vector<Sample>& samples, int decimals, double scale = 1);
std::string cite(const Datum& datum, int decimals, double scale = 1);

/// A weighted sum of one quantity over several runs of one seed, seed by seed: the i-th of every sample is of
/// the same seed. What seeds share, such as a baseline, drops out of it.
struct Contrast {
  std::vector<double> weights;  ///< one per sample
  std::vector<Sample> samples;
  size_t size() const { return samples.empty() ? 0 : samples[0].size(); }  ///< seeds
};
Estimate estimate(const Contrast&);
/// a - b.
Contrast difference(Sample a, Sample b);

/// What a contrast says: its mean, the half-width and the ends of its 95 % interval, and the seeds at which
/// the interval would leave the threshold out.
enum class Part { mean, half_width, low, high, seeds_needed };
/// NaN where there is none: of one seed all but the mean, and seeds that would not do.
double derive(Part part, const Contrast& contrast, double threshold = 0);
/// As above; data-how is "contrast-mean", ... and data-weights and data-threshold say the rest.
std::string cite(Part part, const Contrast& contrast, int decimals, double threshold = 0);
/// A text that was read from a file.
std::string cite_text(std::string_view text, const std::string& h5);

std::string escape_html(std::string_view text);

}  // namespace fovea::report
