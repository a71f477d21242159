#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "record/report/diagnostics.h"

namespace fovea::report {
namespace {

struct Panel {
  const char* title;
  Statistic drawn, trained;
  bool logarithmic;
};
std::vector<Panel> panels() {
  const auto heads = [](auto member) {
    return std::pair(head_statistic(member, true), head_statistic(member));
  };
  const auto gradients = [](auto member) {
    return std::pair(gradient_statistic(member, true), gradient_statistic(member));
  };
  const auto [saturated0, saturated] = heads(&HeadStatistics::saturated);
  const auto [slope0, slope] = heads(&HeadStatistics::softmax_slope);
  const auto [gradient0, gradient] = gradients(&GradientNorms::query_key);
  return {{"rows that are saturated", saturated0, saturated, false},
          {"slope of the softmax", slope0, slope, false},
          {"gradient by q and k", gradient0, gradient, true}};
}

constexpr size_t kMostGroups = 5;
constexpr double kLine = 19;  // height of a group's name under the panels

std::string colour(const Inks& inks, size_t i) {
  const std::string* colours[] = {&inks.mean, &inks.first, &inks.random, &inks.scratch, &inks.mha};
  return *colours[i % std::size(colours)];
}

/// Curves over layers: the mean, and beside it each seed's.
std::string block(const std::string& name, const Inspected& of, const Statistic& statistic) {
  std::string lines = fmt::format("${} << EOD\n", name);
  for (int64 layer = 0; layer < of.first().layers; ++layer)
    if (const Sample sample = layer_sample(of, statistic, layer); !sample.empty())
      lines += fmt::format("{} {}\n", layer, mean(sample));
  return lines + "EOD\n";
}

plot::Axis axis_of(const std::vector<Inspected>& groups, const Panel& panel) {
  std::vector<double> values;
  for (const Inspected& of : groups)
    for (const Statistic* statistic : {&panel.drawn, &panel.trained})
      for (int64 layer = 0; layer < of.first().layers; ++layer)
        if (const Sample sample = layer_sample(of, *statistic, layer); !sample.empty())
          values.push_back(mean(sample));
  if (!panel.logarithmic) {
    plot::Axis axis;  // parts of one
    axis.low = -0.03;
    axis.high = 1.03;
    axis.ticks = {0, 0.2, 0.4, 0.6, 0.8, 1};
    return axis;
  }
  std::erase_if(values, [](double value) { return value <= 0; });
  return plot::axis_over(values);
}

std::string scores_script(const std::vector<Inspected>& groups, int height, const Inks& inks) {
  std::string script = plot::style(inks);
  int64 layers = 1;
  for (const Inspected& of : groups) layers = std::max(layers, of.first().layers);
  script += fmt::format("set xrange [{}:{}]\nset xtics 0,{}\nset xlabel 'layer'\nset multiplot\n", -0.15,
                        static_cast<double>(layers) - 0.85, layers > 12 ? 4 : 1);
  const double left = 0.06, right = 0.99, gap = 0.065, width = (right - left - 2 * gap) / 3;
  const std::vector<Panel> all = panels();
  for (size_t p = 0; p < all.size(); ++p) {
    const plot::Axis y = axis_of(groups, all[p]);
    const double x = left + (width + gap) * static_cast<double>(p);
    script += fmt::format(
        "unset label\nset lmargin at screen {}\nset rmargin at screen {}\nset bmargin at screen {}\n"
        "set tmargin at screen {}\nset label '{}' at graph 0,1.06 textcolor rgb '{}'\n"
        "{} logscale y\nset yrange [{}:{}]\nset ytics {}\n",
        x, x + width, (60 + kLine * static_cast<double>(groups.size())) / height, 1 - 28.0 / height,
        all[p].title, inks.text, y.logarithmic ? "set" : "unset", y.low, y.high, y.ticks_for_gnuplot());
    std::string plots;
    for (size_t g = 0; g < groups.size(); ++g) {
      const std::string ink = colour(inks, g);
      for (const auto& [state, statistic] :
           {std::pair("drawn", &all[p].drawn), {"trained", &all[p].trained}}) {
        const std::string name = fmt::format("{}{}_{}", state, p, g);
        const std::string lines = block(name, groups[g], *statistic);
        if (std::count(lines.begin(), lines.end(), '\n') < 3) continue;  // none there
        const bool drawn = statistic == &all[p].drawn;
        script += lines;
        plots += fmt::format("{}${} using 1:2 with linespoints lc rgb '{}' lw 1.4 dt {} pt {} ps 0.7",
                             plots.empty() ? "plot " : ", ", name, ink, drawn ? "(5,4)" : "1", drawn ? 6 : 7);
      }
    }
    if (p == 0)
      for (size_t g = 0; g < groups.size(); ++g)
        script += fmt::format(
            "set label {} at screen {},{:.4f} textcolor rgb '{}' noenhanced\n", plot::quoted(groups[g].name),
            left, (10 + kLine * static_cast<double>(groups.size() - 1 - g)) / height, colour(inks, g));
    script += (plots.empty() ? fmt::format("plot NaN lc rgb '{}'", inks.faint) : plots) + "\n";
  }
  return script + "unset multiplot\n";
}

std::string row_of(const Inspected& of, int64 layer, bool initial) {
  std::string row = "<tr><td>" + of.cited + "</td><td>" + (initial ? "as drawn" : "trained") + "</td>" +
                    index_cell(*of.runs.front(), "layer", layer);
  const auto add = [&](const Statistic& statistic, int decimals) {
    const Sample sample = layer_sample(of, statistic, layer);
    row += "<td class=n>" + (sample.empty() ? "" : cite(How::mean, {sample}, decimals)) + "</td>";
  };
  add(head_statistic(&HeadStatistics::score_deviation, initial), 2);
  add(head_statistic(&HeadStatistics::saturated, initial), 3);
  add(head_statistic(&HeadStatistics::softmax_slope, initial), 3);
  for (const auto member : {&GradientNorms::query_key, &GradientNorms::value_out, &GradientNorms::mlp})
    add(gradient_statistic(member, initial), 4);
  return row + "</tr>\n";
}

std::string scores_table(const std::vector<Inspected>& groups) {
  std::string rows;
  for (const Inspected& of : groups)
    for (const bool initial : {true, false})
      for (int64 layer = 0; layer < of.first().layers; ++layer)
        if (!initial || of.first().initial) rows += row_of(of, layer, initial);
  return "<table><thead><tr><th>runs<th>weights<th class=n>layer<th class=n>score deviation<th "
         "class=n>saturated<th class=n>slope<th class=n>gradient by q, k<th class=n>by v, out<th class=n>by "
         "the "
         "MLP</thead><tbody>\n" +
         rows + "</tbody></table>";
}

}  // namespace

Shown scores_figure(const std::vector<Inspected>& groups) {
  const std::vector<Inspected> few(groups.begin(),
                                   groups.begin() + static_cast<int64>(std::min(groups.size(), kMostGroups)));
  const int height = 290 + static_cast<int>(kLine) * static_cast<int>(few.size());
  Shown shown;
  shown.figure = {"scores",
                  "Saturation of attention and norms of gradients by layer, as drawn and after training", 760,
                  height, [few, height](const Inks& inks) { return scores_script(few, height, inks); }};
  shown.heading = "Scores and gradients";
  shown.caption =
      "Means over heads and seeds; dashed, the weights as they were drawn. A row is saturated when one key "
      "has "
      "nearly all its attention; the slope of the softmax is what is left of a gradient that passes it. "
      "Gradients are norms per layer, by the weights of queries and keys.";
  shown.table = scores_table(few);
  return shown;
}

}  // namespace fovea::report
