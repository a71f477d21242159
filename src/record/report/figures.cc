#include "record/report/figures.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "record/report/diagnostics.h"
#include "record/report/frontier.h"

namespace fovea::report {
namespace {

using plot::Axis;
using plot::Label;

std::string bytes_text(double bytes) {
  if (bytes >= 1 << 20) return fmt::format("{:g} MiB", bytes / (1 << 20));
  if (bytes >= 1024) return fmt::format("{:g} KiB", bytes / 1024);
  return fmt::format("{:g} B", bytes);
}

struct Curve {
  RunRole role;
  std::string conversion;
  std::vector<const Group*> groups;  // along x
};

/// One curve per way of coming to a number of KV heads, each at its largest alpha; MHA's ends where caches
/// are largest.
std::vector<Curve> quality_curves(const Study& study) {
  std::vector<Curve> curves;
  const auto alphas = study.alphas();
  const Group* mha = nullptr;
  if (!alphas.empty()) mha = study.mha_control(alphas.back());
  if (!mha) mha = study.baseline();
  for (const std::string& conversion : study.conversions()) {
    Curve curve{RunRole::uptrained, conversion, {}};
    for (const int64 kv_heads : study.kv_heads())
      if (const Group* g = study.find(RunRole::uptrained, kv_heads, conversion, alphas.back()))
        curve.groups.push_back(g);
    if (!curve.groups.empty()) curves.push_back(std::move(curve));
  }
  Curve scratch{RunRole::control_scratch, "none", {}};
  for (const int64 kv_heads : study.kv_heads())
    if (const Group* g = study.scratch_control(kv_heads)) scratch.groups.push_back(g);
  if (!scratch.groups.empty()) curves.push_back(std::move(scratch));
  if (mha) curves.push_back({mha->role, "none", {mha}});
  Curve plain{RunRole::train, "none", {}};
  for (const Group& g : study.groups)
    if (g.role == RunRole::train) plain.groups.push_back(&g);
  if (!plain.groups.empty()) curves.push_back(std::move(plain));
  for (Curve& curve : curves)
    std::stable_sort(curve.groups.begin(), curve.groups.end(),
                     [](const Group* a, const Group* b) { return mean(a->kv_bytes) < mean(b->kv_bytes); });
  return curves;
}

double half_width(const Group& g) {
  const double half = interval(g.loss);
  return std::isfinite(half) ? half : 0;
}

std::string points_block(const std::string& name, const std::vector<const Group*>& groups,
                         double (*x)(const Group&)) {
  std::string block = fmt::format("${} << EOD\n", name);
  for (const Group* g : groups)
    block += fmt::format("{} {} {} {}\n", x(*g), mean(g->loss), mean(g->loss) - half_width(*g),
                         mean(g->loss) + half_width(*g));
  return block + "EOD\n";
}

double bytes_of(const Group& g) { return mean(g.kv_bytes); }
double alpha_of(const Group& g) { return g.alpha; }

/// Points with intervals over a line, in the role's colour.
std::string curve_plot(const std::string& block, const std::string& colour, int point, bool dashed) {
  return fmt::format(
      "${0} using 1:2 with lines lc rgb '{1}' lw 1.6 dt {3}, "
      "${0} using 1:2:3:4 with yerrorbars lc rgb '{1}' lw 1.2 pt {2} ps 0.7",
      block, colour, point, dashed ? "(8,5)" : "1");
}

std::string placed_labels(std::vector<Label> labels, double distance, const std::string& where) {
  plot::spread(labels, distance);
  std::string script;
  for (const Label& label : labels)
    script += fmt::format("set label '{}' at {}, graph {:.4f} {} textcolor rgb '{}'\n", label.text,
                          where.substr(0, where.find('|')), label.placed, where.substr(where.find('|') + 1),
                          label.colour);
  return script;
}

std::string quality_script(const std::vector<Curve>& curves, const Inks& inks) {
  std::vector<double> losses, bytes;
  std::string blocks, plots, ticks;
  std::vector<std::pair<double, int64>> positions;
  for (const Curve& curve : curves)
    for (const Group* g : curve.groups) {
      losses.insert(losses.end(), {mean(g->loss) - half_width(*g), mean(g->loss) + half_width(*g)});
      positions.emplace_back(bytes_of(*g), g->kv_heads);
    }
  std::sort(positions.begin(), positions.end());
  positions.erase(std::unique(positions.begin(), positions.end()), positions.end());
  for (const auto& [x, kv_heads] : positions)
    ticks += fmt::format("{}\"{}{}\" {}", ticks.empty() ? "" : ", ", bytes_text(x),
                         kv_heads > 0 ? fmt::format("\\nG = {}", kv_heads) : "", x);
  const Axis y = plot::axis_over(losses);
  const double low = positions.front().first, high = positions.back().first;
  std::vector<Label> labels;
  for (size_t i = 0; i < curves.size(); ++i) {
    const Curve& curve = curves[i];
    const std::string colour = plot::colour_of(inks, curve.role, curve.conversion);
    const std::string block = fmt::format("curve{}", i);
    const bool level = curve.role == RunRole::baseline || curve.role == RunRole::control_mha;
    blocks += points_block(block, curve.groups, bytes_of);
    plots += plots.empty() ? "plot " : ", ";
    if (level) {
      blocks += fmt::format("$level << EOD\n{0} {2}\n{1} {2}\nEOD\n", low, high, mean(curve.groups[0]->loss));
      plots += fmt::format("$level using 1:2 with lines lc rgb '{}' lw 1.2 dt (8,5), ", colour);
    }
    plots += curve_plot(block, colour, plot::point_of(curve.role, curve.conversion),
                        curve.role == RunRole::control_scratch);
    labels.push_back(
        {plot::label_of(curve.role, curve.conversion), colour, y.fraction(mean(curve.groups[0]->loss))});
  }
  const std::string at = "graph 0.20|right";
  // the left fifth is for the labels: caches are smallest there and the curves farthest apart
  const double span = std::max(std::log(high / low), std::log(2.0)) / 0.72;
  return plot::style(inks) + blocks +
         fmt::format("set logscale x 2\nset xrange [{}:{}]\nset xtics ({})\n", low * std::exp(-0.23 * span),
                     low * std::exp(0.77 * span), ticks) +
         fmt::format("{}set yrange [{}:{}]\nset ytics {}\n", y.logarithmic ? "set logscale y\n" : "", y.low,
                     y.high, y.ticks_for_gnuplot()) +
         "set bmargin 5\nset xlabel 'KV cache per token' offset 0,-0.9\nset ylabel 'held-out loss "
         "(nat/token)'\n" +
         placed_labels(labels, 0.062, at) + plots + "\n";
}

std::string cell(const std::string& html) { return "<td>" + html + "</td>"; }

std::string loss_cells(const Group& g) {
  return "<td class=n>" + cite(How::mean, {g.loss}, 4) + "</td><td class=n>" +
         (g.loss.size() > 1 ? "± " + cite(How::interval, {g.loss}, 4) : std::string("one seed")) + "</td>";
}

std::string quality_table(const std::vector<Curve>& curves) {
  std::string rows;
  for (const Curve& curve : curves)
    for (const Group* g : curve.groups)
      rows += "<tr>" + cell(plot::label_of(curve.role, curve.conversion)) + "<td class=n>" +
              cite(How::mean, {g->kv_heads_read}, 0) + "</td><td class=n>" +
              cite(How::mean, {g->alpha_read}, 2) + "</td><td class=n>" + cite(How::mean, {g->kv_bytes}, 0) +
              "</td>" + loss_cells(*g) + "</tr>\n";
  return "<table><thead><tr><th>model<th class=n>G<th class=n>α<th class=n>KV bytes/token<th class=n>loss<th "
         "class=n>interval</thead><tbody>\n" +
         rows + "</tbody></table>";
}

/// One panel per number of KV heads, all with one y axis; the last has the labels.
std::string alpha_script(const Study& study, const Inks& inks) {
  const auto alphas = study.alphas();
  const auto kv_heads = study.kv_heads();
  std::vector<const Group*> mha;
  for (const double alpha : alphas)
    if (const Group* g = study.mha_control(alpha)) mha.push_back(g);
  std::vector<double> losses;
  for (const Group& g : study.groups)
    if (g.role == RunRole::uptrained) losses.push_back(mean(g.loss));
  for (const Group* g : mha) losses.push_back(mean(g->loss));
  const Axis y = plot::axis_over(losses);
  const double left = 0.085, right = 0.805, gap = 0.02;
  const double width =
      (right - left - gap * static_cast<double>(kv_heads.size() - 1)) / static_cast<double>(kv_heads.size());
  std::string script = plot::style(inks) + points_block("mha", mha, alpha_of);
  std::string ticks;
  for (const double alpha : alphas)
    if (alpha == 0 || alpha >= 0.35 * alphas.back() || alphas.size() < 4)
      ticks += fmt::format("{}'{:g}' {}", ticks.empty() ? "" : ", ", alpha, alpha);
  const double room = std::max(alphas.back(), 1e-3) * 0.06;
  script += fmt::format(
      "{}set yrange [{}:{}]\nset xrange [{}:{}]\nset xtics ({})\nset multiplot\n"
      "set tmargin at screen 0.90\nset bmargin at screen 0.17\n",
      y.logarithmic ? "set logscale y\n" : "", y.low, y.high, -room, alphas.back() + room, ticks);
  for (size_t p = 0; p < kv_heads.size(); ++p) {
    const double x = left + (width + gap) * static_cast<double>(p);
    std::vector<Label> labels;
    std::string plots =
        mha.empty() ? "plot "
                    : fmt::format("plot $mha using 1:2 with lines lc rgb '{}' lw 1.2 dt (8,5)", inks.mha);
    if (!mha.empty()) labels.push_back({"MHA", inks.mha, y.fraction(mean(mha.back()->loss))});
    bool any = !mha.empty();
    const std::vector<std::string> conversions = study.conversions();
    for (size_t c = 0; c < conversions.size(); ++c) {
      const std::string& conversion = conversions[c];
      std::vector<const Group*> along;
      for (const double alpha : alphas)
        if (const Group* g = study.find(RunRole::uptrained, kv_heads[p], conversion, alpha))
          along.push_back(g);
      if (along.empty()) continue;
      const std::string block = fmt::format("p{}c{}", p, c),
                        colour = plot::colour_of(inks, RunRole::uptrained, conversion);
      script += points_block(block, along, alpha_of);
      plots += (any ? ", " : "") +
               curve_plot(block, colour, plot::point_of(RunRole::uptrained, conversion), false);
      labels.push_back({plot::label_of(conversion), colour, y.fraction(mean(along.back()->loss))});
      any = true;
    }
    script += fmt::format(
        "set lmargin at screen {}\nset rmargin at screen {}\nset label 1 'G = {}' at graph 0.5,1.05 center "
        "textcolor rgb '{}'\n",
        x, x + width, kv_heads[p], inks.text);
    script += fmt::format("set ytics {}\n{}\n", y.ticks_for_gnuplot(p == 0),
                          p == 0 ? "set ylabel 'held-out loss (nat/token)'" : "unset ylabel");
    if (p + 1 == kv_heads.size()) {
      script += placed_labels(labels, 0.068, "graph 1.03|left");
      script += fmt::format(
          "set label 'α, fraction of the tokens of the baseline' at screen {},0.045 center textcolor rgb "
          "'{}'\n",
          (left + right) / 2, inks.text);
    }
    script += plots + "\n";
  }
  return script + "unset multiplot\n";
}

std::string alpha_table(const Study& study) {
  std::string rows;
  for (const int64 kv_heads : study.kv_heads())
    for (const std::string& conversion : study.conversions())
      for (const double alpha : study.alphas())
        if (const Group* g = study.find(RunRole::uptrained, kv_heads, conversion, alpha))
          rows += "<tr><td class=n>" + cite(How::mean, {g->kv_heads_read}, 0) + "</td>" +
                  cell(plot::label_of(conversion)) + "<td class=n>" + cite(How::mean, {g->alpha_read}, 2) +
                  "</td>" + loss_cells(*g) + "</tr>\n";
  for (const double alpha : study.alphas())
    if (const Group* g = study.mha_control(alpha))
      rows += "<tr><td class=n>" + cite(How::mean, {g->kv_heads_read}, 0) + "</td>" + cell("MHA") +
              "<td class=n>" + cite(How::mean, {g->alpha_read}, 2) + "</td>" + loss_cells(*g) + "</tr>\n";
  return "<table><thead><tr><th class=n>G<th>initialisation<th class=n>α<th class=n>loss<th "
         "class=n>interval</thead>"
         "<tbody>\n" +
         rows + "</tbody></table>";
}

}  // namespace

Shown quality_figure(const Study& study) {
  const auto curves = quality_curves(study);
  Shown shown;
  shown.figure = {"quality", "Held-out loss against bytes of KV cache per token", 760, 430,
                  [curves](const Inks& inks) { return quality_script(curves, inks); }};
  shown.heading = "Quality against the size of the KV cache";
  shown.caption =
      "Each point is the mean over seeds at the largest α; bars are 95&nbsp;% intervals of the mean. "
      "The dashed level is MHA trained for the same tokens.";
  if (!study.is_gqa())
    shown.caption = "Each point is the mean over seeds; bars are 95&nbsp;% intervals of the mean.";
  shown.table = quality_table(curves);
  return shown;
}

Shown alpha_figure(const Study& study) {
  Shown shown;
  shown.figure = {
      "alpha", "Held-out loss against the fraction of uptraining, per initialisation and number of KV heads",
      760, 380, [&study](const Inks& inks) { return alpha_script(study, inks); }};
  shown.heading = "Loss against uptraining";
  shown.caption =
      "How fast each way of making KV heads from MHA’s comes back. Means over seeds with 95&nbsp;% "
      "intervals; dashed, MHA trained for the same extra tokens.";
  shown.table = alpha_table(study);
  return shown;
}

std::vector<Shown> figures_of(const Study& study) {
  std::vector<Shown> shown;
  const auto bytes = [](const Group& g) { return mean(g.kv_bytes); };
  bool sizes_differ = false;
  for (const Group& g : study.groups) sizes_differ |= bytes(g) != bytes(study.groups[0]);
  const bool sizes_known =
      std::all_of(study.groups.begin(), study.groups.end(), [&](const Group& g) { return bytes(g) > 0; });
  if (sizes_differ && sizes_known && !quality_curves(study).empty()) shown.push_back(quality_figure(study));
  if (study.alphas().size() > 1) shown.push_back(alpha_figure(study));
  if (has_frontier(study)) shown.push_back(frontier_figure(study));
  if (has_lengths(study)) shown.push_back(length_figure(study));
  const bool any_series = std::any_of(study.runs.begin(), study.runs.end(),
                                      [](const Run& r) { return r.record && r.record->series.size() > 1; });
  if (any_series) shown.push_back(training_figure(study));
  const bool any_memory = std::any_of(study.runs.begin(), study.runs.end(), [](const Run& r) {
    return r.record && r.record->memory.measured_peak_bytes > 0 && r.record->memory.predicted_bytes > 0;
  });
  if (any_memory) shown.push_back(memory_figure(study));
  if (has_profile(study)) shown.push_back(profile_figure(study));
  for (Shown& s : diagnostic_figures(study)) shown.push_back(std::move(s));
  return shown;
}

}  // namespace fovea::report
