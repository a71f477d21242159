#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "record/report/diagnostics.h"

namespace fovea::report {
namespace {

struct Curve {
  const char* label;
  std::vector<double> GroupCosines::*member;
  bool values, aligned;
};
constexpr Curve kCurves[] = {{"keys, aligned", &GroupCosines::key_aligned, false, true},
                             {"values, aligned", &GroupCosines::value_aligned, true, true},
                             {"keys", &GroupCosines::key, false, false},
                             {"values", &GroupCosines::value, true, false}};

std::string cosines_script(const Inspected& of, const Inks& inks) {
  const int64 layers = of.first().layers;
  std::string blocks, plots;
  std::vector<plot::Label> labels;
  std::vector<double> all{0, 1};
  for (const Curve& curve : kCurves)
    for (int64 layer = 0; layer < layers; ++layer)
      for (const Datum& datum : layer_sample(of, cosine_statistic(curve.member), layer))
        all.push_back(datum.value);
  plot::Axis y;
  y.low = *std::min_element(all.begin(), all.end()) - 0.05;
  y.high = 1.05;
  for (double tick = -1; tick < 1.1; tick += 0.25)
    if (tick >= y.low) y.ticks.push_back(tick);
  for (const Curve& curve : kCurves) {
    const std::string name =
        fmt::format("{}{}", curve.values ? "values" : "keys", curve.aligned ? "_aligned" : "");
    const std::string ink = curve.values ? inks.first : inks.mean;
    std::string means = fmt::format("${} << EOD\n", name), points = fmt::format("${}_each << EOD\n", name);
    double last = NAN;
    for (int64 layer = 0; layer < layers; ++layer) {
      const Sample sample = layer_sample(of, cosine_statistic(curve.member), layer);
      if (sample.empty()) continue;
      last = mean(sample);
      means += fmt::format("{} {}\n", layer, last);
      for (const Datum& datum : sample) points += fmt::format("{} {}\n", layer, datum.value);
    }
    if (std::isnan(last)) continue;
    blocks += fmt::format("{}EOD\n{}EOD\n", means, points);
    plots += fmt::format(
        "{0}${1}_each using 1:2 with points lc rgb '{2}' lw 1 pt 6 ps 0.35, "
        "${1} using 1:2 with linespoints lc rgb '{2}' lw 1.6 dt {3} pt {4} ps 0.7",
        plots.empty() ? "plot " : ", ", name, ink, curve.aligned ? "1" : "(5,4)", curve.aligned ? 7 : 6);
    labels.push_back({curve.label, ink, y.fraction(last)});
  }
  plot::spread(labels, 0.07);
  std::string script = plot::style(inks) + blocks;
  for (const plot::Label& label : labels)
    script += fmt::format("set label '{}' at graph 1.03,{:.4f} textcolor rgb '{}'\n", label.text,
                          label.placed, label.colour);
  return script +
         fmt::format(
             "set xrange [{}:{}]\nset xtics 0,{}\nset yrange [{}:{}]\nset ytics {}\n"
             "set rmargin at screen 0.78\nset xlabel 'layer'\nset ylabel 'cosine between heads'\n{}\n",
             -0.15, static_cast<double>(layers) - 0.85, layers > 12 ? 4 : 1, y.low, y.high,
             y.ticks_for_gnuplot(), plots.empty() ? fmt::format("plot NaN lc rgb '{}'", inks.faint) : plots);
}

std::string cosines_table(const Inspected& of) {
  std::string rows;
  for (int64 layer = 0; layer < of.first().layers; ++layer) {
    rows += "<tr>" + index_cell(*of.runs.front(), "layer", layer);
    for (const auto member : {&GroupCosines::key, &GroupCosines::key_aligned, &GroupCosines::value,
                              &GroupCosines::value_aligned}) {
      const Sample sample = layer_sample(of, cosine_statistic(member), layer);
      rows += "<td class=n>" + (sample.empty() ? "" : cite(How::mean, {sample}, 3)) + "</td>";
    }
    rows += "</tr>\n";
  }
  return "<table><thead><tr><th class=n>layer<th class=n>keys<th class=n>aligned<th class=n>values<th "
         "class=n>aligned</thead><tbody>\n" +
         rows + "</tbody></table>";
}

}  // namespace

Shown cosines_figure(const Inspected& of) {
  const Run& run = *of.runs.front();
  Shown shown;
  shown.figure = {"cosines", "Cosine between KV heads of would-be groups, before and after alignment", 640,
                  340, [of](const Inks& inks) { return cosines_script(of, inks); }};
  shown.heading = "How alike KV heads are";
  shown.caption = fmt::format(
      "{}: the mean cosine between the weights of KV heads in groups of {} neighbours, over groups and "
      "seeds; "
      "small, each group. Dashed, as they are; aligned, after the rotations that change no output: of keys "
      "per "
      "plane of RoPE, of values any.",
      of.cited, cite({static_cast<double>(of.first().cosines.heads), run.inspected("/@group_heads")}, 0));
  shown.table = cosines_table(of);
  return shown;
}

}  // namespace fovea::report
