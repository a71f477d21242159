#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "record/report/diagnostics.h"

namespace fovea::report {
namespace {

struct Map {
  const char* title;
  std::vector<double> HeadStatistics::*member;
};
constexpr Map kMaps[] = {{"entropy, of the most there can be", &HeadStatistics::relative_entropy},
                         {"attention to the token before", &HeadStatistics::previous_token},
                         {"induction", &HeadStatistics::induction}};

constexpr size_t kMostGroups = 4;
constexpr double kDarkest = 0.45;  // of the ink over the paper, so that a number in the cell can be read
constexpr int64 kMostNumbers = 8;  // heads; more leave no room for numbers in cells

/// The first groups of the study; each is shown by its first run.
std::vector<Inspected> few_of(const std::vector<Inspected>& groups) {
  return {groups.begin(), groups.begin() + static_cast<int64>(std::min(groups.size(), kMostGroups))};
}

/// A place on the canvas, in parts of it.
struct Panel {
  double left, right, bottom, top;
};

/// words: labels of the whole figure, which need some map to be drawn with.
std::string heat_map(const Run& run, const Map& map, const Panel& at, const std::string& words,
                     const Inks& inks) {
  const Inspection& i = *run.inspection;
  const std::vector<double>& values = i.trained.heads.*map.member;
  std::string script = fmt::format(
      "unset object\nunset label\nset lmargin at screen {}\nset rmargin at screen {}\n"
      "set bmargin at screen {}\nset tmargin at screen {}\nset xrange [-0.5:{}]\nset yrange [{}:-0.5]\n",
      at.left, at.right, at.bottom, at.top, static_cast<double>(i.q_heads) - 0.5,
      static_cast<double>(i.layers) - 0.5);
  for (int64 layer = 0; layer < i.layers; ++layer)
    for (int64 head = 0; head < i.q_heads; ++head) {
      const double value = values[static_cast<size_t>(layer * i.q_heads + head)];
      if (!std::isfinite(value)) continue;
      const auto x = static_cast<double>(head), y = static_cast<double>(layer);
      script += fmt::format(
          "set object rectangle from {},{} to {},{} fc rgb '{}' fs transparent solid {:.3f} noborder\n",
          x - 0.47, y - 0.45, x + 0.47, y + 0.45, inks.mean, kDarkest * std::clamp(value, 0.0, 1.0));
      if (i.q_heads <= kMostNumbers)
        script += fmt::format("set label '{:.2f}' at {},{} center textcolor rgb '{}' font ',10'\n", value, x,
                              y, inks.text);
    }
  return script + fmt::format("set xtics 0,{}\nset ytics 0,{}\n{}plot NaN lc rgb '{}'\n",
                              i.q_heads > 2 * kMostNumbers ? 4 : 1, i.layers > 2 * kMostNumbers ? 4 : 1,
                              words, inks.faint);
}

std::string heads_script(const std::vector<Inspected>& groups, int height, const Inks& inks) {
  std::string script = plot::style(inks) +
                       "unset border\nunset grid\nset tics scale 0\nset xtics offset 0,0.5\nset multiplot\n";
  const double left = 0.05, right = 0.99, gap = 0.035, pixel = 1.0 / height;
  const double width = (right - left - 2 * gap) / 3, each = 1.0 / static_cast<double>(groups.size());
  for (size_t g = 0; g < groups.size(); ++g) {
    const double top = 1 - each * static_cast<double>(g);
    const auto word = [&](const std::string& text, double x, double below, int size) {
      return fmt::format("set label {} at screen {},{} textcolor rgb '{}' font ',{}' noenhanced\n",
                         plot::quoted(text), x, top - below * pixel, inks.text, size);
    };
    for (size_t m = 0; m < std::size(kMaps); ++m) {
      const double x = left + (width + gap) * static_cast<double>(m);
      std::string words = word(kMaps[m].title, x, 33, 11);
      if (m == 0 && groups.size() > 1) words += word(groups[g].name, x, 13, 13);
      script += heat_map(*groups[g].runs.front(), kMaps[m],
                         {x, x + width, top - each + 24 * pixel, top - 46 * pixel}, words, inks);
    }
  }
  return script + "unset multiplot\n";
}

std::string heads_table(const std::vector<Inspected>& groups) {
  std::string rows;
  for (const Inspected& of : groups) {
    const Run& run = *of.runs.front();
    for (int64 layer = 0; layer < run.inspection->layers; ++layer)
      for (int64 head = 0; head < run.inspection->q_heads; ++head) {
        rows += "<tr><td>" + cite_text(run.record->name, run.h5("/@name")) + "</td>" +
                index_cell(run, "layer", layer) + index_cell(run, "head", head);
        for (const auto& [member, decimals] : {std::pair(&HeadStatistics::entropy, 3),
                                               {&HeadStatistics::relative_entropy, 3},
                                               {&HeadStatistics::previous_token, 3},
                                               {&HeadStatistics::first_token, 3},
                                               {&HeadStatistics::induction, 3},
                                               {&HeadStatistics::score_deviation, 2},
                                               {&HeadStatistics::saturated, 3}}) {
          const Datum datum = datum_of(run, head_statistic(member), layer, head);
          rows += "<td class=n>" + (std::isfinite(datum.value) ? cite(datum, decimals) : "") + "</td>";
        }
        rows += "</tr>\n";
      }
  }
  return "<table><thead><tr><th>run<th class=n>layer<th class=n>head<th class=n>entropy (nat)<th class=n>of "
         "the most<th class=n>token before<th class=n>first token<th class=n>induction<th class=n>score "
         "deviation<th class=n>saturated</thead><tbody>\n" +
         rows + "</tbody></table>";
}

}  // namespace

Shown heads_figure(const std::vector<Inspected>& groups) {
  const std::vector<Inspected> few = few_of(groups);
  int64 layers = 1;
  for (const Inspected& of : few) layers = std::max(layers, of.first().layers);
  const int height = static_cast<int>(few.size()) * (70 + 26 * static_cast<int>(std::min<int64>(layers, 32)));
  Shown shown;
  shown.figure = {"heads", "What each attention head does, by layer and head", 760, height,
                  [few, height](const Inks& inks) { return heads_script(few, height, inks); }};
  shown.heading = "What the heads do";
  shown.caption =
      "A row per layer, a column per query head; the stronger the colour, the nearer to the most there can "
      "be. One run of "
      "each kind, the first seed. Induction: on random tokens laid down twice, the attention to what "
      "followed "
      "the same token the first time.";
  shown.table = heads_table(few);
  return shown;
}

}  // namespace fovea::report
