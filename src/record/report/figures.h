#pragma once

#include <string>
#include <vector>

#include "record/report/gnuplot.h"
#include "record/report/study.h"

namespace fovea::report {

/// A figure with what the page says around it.
struct Shown {
  Figure figure;
  std::string heading, caption;  ///< HTML
  std::string table;             ///< the numbers behind it, HTML; may be empty
};

/// The figures that apply to this study, in reading order.
std::vector<Shown> figures_of(const Study& study);

Shown quality_figure(const Study& study);
Shown alpha_figure(const Study& study);
Shown training_figure(const Study& study);
Shown memory_figure(const Study& study);
/// Where run.profile timed the operations of steps: the first such run, and a table of all.
bool has_profile(const Study& study);
Shown profile_figure(const Study& study);

/// What several figures share.
namespace plot {

/// A label of a curve: its text stands at the curve's end, moved only as far as its neighbours need.
struct Label {
  std::string text, colour;
  double y = 0;       ///< where the curve ends, in graph units from 0 to 1
  double placed = 0;  ///< where the text stands
};
void spread(std::vector<Label>& labels, double distance);

struct Axis {
  double low = 0, high = 1;
  bool logarithmic = false;
  std::vector<double> ticks;
  double fraction(double value) const;  ///< in graph units
  std::string ticks_for_gnuplot(bool numbers = true) const;
};
/// Covers the values with some room; ticks at round numbers. Logarithmic when they span more than a
/// factor 1.6.
Axis axis_over(const std::vector<double>& values);

/// A text from outside as a string of gnuplot's; with noenhanced it is shown as it is.
std::string quoted(std::string_view text);

/// Borders, grid and tics as all figures have them.
std::string style(const Inks& inks);

/// Colour and name of a role or conversion.
std::string colour_of(const Inks& inks, RunRole role, const std::string& conversion);
std::string label_of(RunRole role, const std::string& conversion);
std::string label_of(const std::string& conversion);        ///< without what gnuplot reads as a subscript
int point_of(RunRole role, const std::string& conversion);  ///< gnuplot's number of a symbol

}  // namespace plot
}  // namespace fovea::report
