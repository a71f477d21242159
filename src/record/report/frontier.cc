#include "record/report/frontier.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"

namespace fovea::report {
namespace {

using plot::Axis;
using plot::Label;

constexpr double kMiB = 1 << 20;
constexpr const char* kLength = "/resolved@model.context";

template <class T>
std::optional<T> setting(const Run& run, std::string_view path) {
  for (const Attribute& attribute : run.record->attributes)
    if (attribute.path == path)
      if (const T* value = std::get_if<T>(&attribute.value)) return *value;
  return std::nullopt;
}

std::string text_setting(const Run& run, std::string_view path) {
  return setting<std::string>(run, path).value_or("");
}

/// Where a policy's name stands in the run's file.
const char* policy_place(const Run& run) {
  return text_setting(run, "train.fit").empty() ? "/resolved@train.recompute" : "/resolved@train.fit";
}

/// Kinds in the order in which they were asked for.
template <class Get>
auto kinds(const std::vector<MemoryPoint>& points, Get get) {
  std::vector<decltype(get(points[0]))> seen;
  for (const MemoryPoint& point : points)
    if (std::find(seen.begin(), seen.end(), get(point)) == seen.end()) seen.push_back(get(point));
  return seen;
}
std::vector<std::string> policies(const std::vector<MemoryPoint>& points) {
  return kinds(points, [](const MemoryPoint& p) { return p.policy; });
}
std::vector<std::string> backends(const std::vector<MemoryPoint>& points) {
  return kinds(points, [](const MemoryPoint& p) { return p.backend; });
}
std::vector<int64> lengths(const std::vector<MemoryPoint>& points) {
  std::vector<int64> all = kinds(points, [](const MemoryPoint& p) { return p.length; });
  std::sort(all.begin(), all.end());
  return all;
}

const MemoryPoint* find(const std::vector<MemoryPoint>& points, std::string_view backend, int64 length,
                        std::string_view policy) {
  for (const MemoryPoint& point : points)
    if (point.backend == backend && point.length == length && point.policy == policy) return &point;
  return nullptr;
}

/// The policy under which lengths are compared: of most runs, and where several have as many, "none".
std::string common_policy(const std::vector<MemoryPoint>& points) {
  const auto rank = [&](const std::string& policy) {
    const auto runs =
        std::count_if(points.begin(), points.end(), [&](const MemoryPoint& p) { return p.policy == policy; });
    return std::pair(runs, policy == "none");
  };
  const std::vector<std::string> all = policies(points);
  return *std::max_element(all.begin(), all.end(),
                           [&](const std::string& a, const std::string& b) { return rank(a) < rank(b); });
}

std::string name_of_backend(const std::string& backend) { return backend == "naive" ? "naive" : "flash"; }
std::string colour_of_backend(const Inks& inks, const std::string& backend) {
  return backend == "naive" ? inks.first : inks.mean;
}

// gnuplot's symbols: disc, triangle, square, diamond, lower triangle, then hollow ones.
int symbol(size_t policy) {
  constexpr std::array kSymbols = {7, 9, 5, 13, 11, 6, 8, 4, 12, 10};
  return kSymbols[policy % kSymbols.size()];
}

struct Plane {
  Axis x, y;
  std::string script;
};

/// Axes over the points, in MiB and whatever `value` gives, both logarithmic.
Axis logarithmic_over(std::vector<double> values) {
  Axis axis = plot::axis_over(values);
  if (axis.logarithmic) return axis;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  values = {*low / 1.35, *high * 1.35};
  return plot::axis_over(values);
}

std::string axis_text(const char* which, const Axis& axis) {
  return fmt::format("set logscale {0}\nset {0}range [{1}:{2}]\nset {0}tics {3}\n", which, axis.low,
                     axis.high, axis.ticks_for_gnuplot());
}

/// What the symbols mean, above the curves.
std::string legend(const std::vector<std::string>& names, const Inks& inks) {
  std::string script;
  double x = 0.02;
  for (size_t i = 0; i < names.size(); ++i) {
    script += fmt::format(
        "set label '{}' at graph {:.3f},1.06 left offset 1,0 point pt {} ps 0.8 lc rgb '{}' textcolor rgb "
        "'{}'\n",
        names[i], x, symbol(i), inks.text, inks.text);
    x += 0.06 + 0.0135 * static_cast<double>(names[i].size());
  }
  return script;
}

/// names: of the policies, in the order of the legend.
std::string frontier_script(const std::vector<MemoryPoint>& points, const std::vector<std::string>& names,
                            const Inks& inks) {
  std::vector<double> bytes, seconds;
  for (const MemoryPoint& point : points) {
    bytes.push_back(point.bytes / kMiB);
    seconds.push_back(point.seconds);
  }
  Axis x = logarithmic_over(bytes);
  const Axis y = logarithmic_over(seconds);
  x.high *= std::pow(x.high / x.low, 0.12);  // room for the labels
  std::string script = plot::style(inks) + axis_text("x", x) + axis_text("y", y), plots;
  script += "set tmargin 3\nset xlabel 'peak memory (MiB)'\nset ylabel 'time of a step (s)'\n" +
            legend(names, inks);
  int curve = 0;
  for (const std::string& backend : backends(points))
    for (const int64 length : lengths(points)) {
      std::string line;
      const MemoryPoint* last = nullptr;
      const std::string colour = colour_of_backend(inks, backend);
      for (const MemoryPoint& point : points) {  // by memory
        if (point.backend != backend || point.length != length) continue;
        const auto which = std::find(names.begin(), names.end(), point.policy) - names.begin();
        line +=
            fmt::format("{} {} {}\n", point.bytes / kMiB, point.seconds, symbol(static_cast<size_t>(which)));
        last = &point;
      }
      if (!last) continue;
      script += fmt::format("$c{} << EOD\n{}EOD\n", curve, line);
      script += fmt::format("set label '{} {}' at first {},{} left offset 1,0 textcolor rgb '{}'\n",
                            name_of_backend(backend), length, last->bytes / kMiB, last->seconds, colour);
      plots += fmt::format(
          "{0}$c{1} using 1:2 with lines lc rgb '{2}' lw 1.2 dt {3}, $c{1} using 1:2:3 with points pt "
          "variable ps "
          "0.8 lw 1.2 lc rgb '{2}'",
          plots.empty() ? "plot " : ", ", curve, colour, backend == "naive" ? "(8,5)" : "1");
      ++curve;
    }
  return script + plots + "\n";
}

/// What is needed for the formula; nothing where the model is of another shape, or does not say all of it.
struct Formula {
  LayerSizes sizes;
  double layers = 0, sequences = 0, state = 0;
  double bytes(double length, bool with_probabilities) const {
    const double kept =
        kept_bytes_per_token(sizes) + (with_probabilities ? probability_bytes_per_token(sizes, length) : 0);
    return state + layers * sequences * length * kept;
  }
};

std::optional<Formula> formula_of(const Run& run) {
  const auto number = [&](std::string_view path) {
    return static_cast<double>(setting<int64>(run, path).value_or(0));
  };
  const std::string family = text_setting(run, "model.family");
  const double dropout = setting<double>(run, "model.dropout").value_or(1);
  if ((family != "llama" && family != "mistral") || dropout != 0 || number("model.hidden") == 0)
    return std::nullopt;
  Formula formula;
  formula.layers = number("model.layers");
  formula.sequences =
      number("train.grain") > 0 ? number("train.grain") : std::min(16.0, number("train.batch"));
  LayerSizes& sizes = formula.sizes;
  sizes.width = number("model.width");
  sizes.hidden = number("model.hidden");
  sizes.q_heads = number("model.q_heads");
  sizes.kv_heads = static_cast<double>(run.record->lineage.kv_heads);
  sizes.head_dim = number("model.head_dim") > 0 ? number("model.head_dim") : sizes.width / sizes.q_heads;
  if (text_setting(run, "train.precision") == "bf16") sizes.activation_bytes = 2;
  if (text_setting(run, "train.residual_dtype") == "bf16") sizes.residual_bytes = 2;
  // weights, gradients and two moments, and the rounded copy
  const double rounded = sizes.activation_bytes == 2 ? 2 : 0;
  formula.state = static_cast<double>(run.record->counts.parameters) * (16 + rounded);
  return formula;
}

std::string length_script(const std::vector<MemoryPoint>& points, const Inks& inks) {
  const std::string policy = common_policy(points);
  const std::vector<int64> all = lengths(points);
  const auto low = static_cast<double>(all.front()), high = static_cast<double>(all.back());
  std::vector<double> bytes;
  std::string blocks, plots, ticks;
  struct Curve {
    std::string label, colour;
    double end;  // MiB
  };
  std::vector<Curve> ends;
  const auto add = [&](const std::string& label, const std::string& colour, const std::string& style,
                       const std::vector<std::pair<double, double>>& line) {
    const size_t number = ends.size();
    blocks += fmt::format("$c{} << EOD\n", number);
    for (const auto& [length, value] : line) {
      blocks += fmt::format("{} {}\n", length, value / kMiB);
      bytes.push_back(value / kMiB);
    }
    blocks += "EOD\n";
    plots += fmt::format("{}$c{} using 1:2 with {} lc rgb '{}'", plots.empty() ? "plot " : ", ", number,
                         style, colour);
    ends.push_back({label, colour, line.back().second / kMiB});
  };
  const MemoryPoint* any = nullptr;
  for (const std::string& backend : backends(points)) {
    std::vector<std::pair<double, double>> line;
    for (const int64 length : all)
      if (const MemoryPoint* point = find(points, backend, length, policy)) {
        line.emplace_back(length, point->bytes);
        any = point;
      }
    if (!line.empty())
      add(name_of_backend(backend) + ", measured", colour_of_backend(inks, backend),
          fmt::format("linespoints lw 1.6 pt {} ps 0.7", backend == "naive" ? 9 : 7), line);
  }
  if (const std::optional<Formula> formula = any ? formula_of(*any->run) : std::nullopt)
    for (const bool probabilities : {false, true}) {
      std::vector<std::pair<double, double>> line;
      for (int i = 0; i <= 40; ++i) {
        const double length = low * std::pow(high / low, i / 40.0);
        line.emplace_back(length, formula->bytes(length, probabilities));
      }
      add(probabilities ? "formula, probabilities kept" : "formula", inks.mha, "lines lw 1.2 dt (8,5)", line);
    }
  const Axis y = logarithmic_over(bytes);
  for (const int64 length : all) ticks += fmt::format("{}'{}' {}", ticks.empty() ? "" : ", ", length, length);
  std::vector<Label> labels;
  for (const Curve& end : ends) labels.push_back({end.label, end.colour, y.fraction(end.end)});
  plot::spread(labels, 0.062);
  std::string script = plot::style(inks) + blocks + axis_text("y", y);
  script += fmt::format(
      "set logscale x 2\nset xrange [{}:{}]\nset xtics ({})\nset rmargin at screen 0.70\n"
      "set xlabel 'tokens of a sequence'\nset ylabel 'peak memory (MiB)'\n",
      low * std::pow(high / low, -0.04), high * 1.0001, ticks);  // the last tick is within it
  for (const Label& label : labels)
    script += fmt::format("set label '{}' at graph 1.03, graph {:.4f} left textcolor rgb '{}'\n", label.text,
                          label.placed, label.colour);
  return script + plots + "\n";
}

std::string points_table(const std::vector<MemoryPoint>& points) {
  std::string rows;
  for (const MemoryPoint& point : points) {
    const Run& run = *point.run;
    const auto length = static_cast<double>(point.length);
    rows += "<tr><td>" + name_of_backend(point.backend) + "</td><td class=n>" +
            cite(run.datum(length, kLength), 0) + "</td><td>" +
            cite_text(point.policy, run.h5(policy_place(run))) + "</td><td class=n>" +
            cite(point.peak(), 1, kMiB) + "</td><td class=n>" + cite(point.step(), 3) + "</td><td class=n>" +
            cite(run.datum(run.record->counts.flops_per_token, "/counts/flops_per_token"), 1, 1e6) +
            "</td></tr>\n";
  }
  return "<table><thead><tr><th>attention<th class=n>tokens<th>recomputed<th class=n>peak (MiB)<th "
         "class=n>step "
         "(s)<th class=n>MFLOP/token</thead><tbody>\n" +
         rows + "</tbody></table>";
}

/// "2.4": how many times b is a.
std::string times(const Datum& a, const Datum& b) { return cite(How::percent, {{a}, {b}}, 2, 100); }
std::string share(const Datum& a, const Datum& b) { return cite(How::percent, {{a}, {b}}, 0) + "&#8239;%"; }
std::string tokens(const MemoryPoint& p) {
  return cite(p.run->datum(static_cast<double>(p.length), kLength), 0) + " tokens";
}

void policy_findings(const std::vector<MemoryPoint>& points, std::vector<std::string>& out) {
  const std::string backend = backends(points).front();
  const MemoryPoint* whole = find(points, backend, lengths(points).back(), "none");
  if (!whole) return;
  std::string text;
  for (const std::string& policy : policies(points)) {
    const MemoryPoint* point = find(points, backend, whole->length, policy);
    if (!point || point == whole) continue;
    text += fmt::format("{}<em>{}</em> takes {} of the memory and {} of the time", text.empty() ? "" : ", ",
                        cite_text(policy, point->run->h5(policy_place(*point->run))),
                        share(point->peak(), whole->peak()), share(point->step(), whole->step()));
  }
  if (text.empty()) return;
  out.push_back(fmt::format("Against keeping everything, at {} ({} MiB, {} s a step): {}.", tokens(*whole),
                            cite(whole->peak(), 0, kMiB), cite(whole->step(), 2), text));
}

void length_findings(const std::vector<MemoryPoint>& points, std::vector<std::string>& out) {
  const std::vector<int64> all = lengths(points);
  const std::string policy = common_policy(points);
  const auto at = [&](const char* backend, int64 length) { return find(points, backend, length, policy); };
  const MemoryPoint *flash = at("cpu", all.back()), *naive = at("naive", all.back());
  if (!flash || !naive) return;
  std::string text =
      fmt::format("At {}, naive attention takes {} times the memory of flash and {} times its time.",
                  tokens(*naive), times(naive->peak(), flash->peak()), times(naive->step(), flash->step()));
  if (all.size() > 1) {
    const MemoryPoint *shorter_flash = at("cpu", all[all.size() - 2]),
                      *shorter_naive = at("naive", all[all.size() - 2]);
    if (shorter_flash && shorter_naive)
      text += fmt::format(" From {} to {} flash’s grows {} times, naive’s {} times.", tokens(*shorter_naive),
                          tokens(*naive), times(flash->peak(), shorter_flash->peak()),
                          times(naive->peak(), shorter_naive->peak()));
  }
  out.push_back(std::move(text));
}

}  // namespace

std::vector<MemoryPoint> memory_points(const Study& study) {
  std::vector<MemoryPoint> points;
  for (const Run& run : study.runs) {
    if (!run.problem.empty() || run.record->memory.measured_peak_bytes <= 0 || run.record->step_seconds <= 0)
      continue;
    const std::string fit = text_setting(run, "train.fit"), backend = text_setting(run, "run.backend");
    points.push_back({&run, fit.empty() ? text_setting(run, "train.recompute") : fit,
                      backend == "auto" ? "cpu" : backend, setting<int64>(run, "model.context").value_or(0),
                      static_cast<double>(run.record->memory.measured_peak_bytes), run.record->step_seconds});
  }
  return points;
}

double kept_bytes_per_token(const LayerSizes& s) {
  const double e = s.activation_bytes, r = s.residual_bytes;
  return 2 * r * s.width + 2 * (e * s.width + 4) + 2 * e * s.kv_heads * s.head_dim +
         2 * e * s.q_heads * s.head_dim + 4 * s.q_heads + 3 * e * s.hidden;
}

double probability_bytes_per_token(const LayerSizes& s, double length) {
  return s.activation_bytes * s.q_heads * length;
}

bool has_frontier(const Study& study) { return policies(memory_points(study)).size() > 1; }

bool has_lengths(const Study& study) {
  const std::vector<MemoryPoint> points = memory_points(study);
  return lengths(points).size() > 1 && (policies(points).size() > 1 || backends(points).size() > 1);
}

Shown frontier_figure(const Study& study) {
  std::vector<MemoryPoint> points = memory_points(study);
  const std::vector<std::string> names = policies(points);
  std::stable_sort(points.begin(), points.end(),
                   [](const MemoryPoint& a, const MemoryPoint& b) { return a.bytes < b.bytes; });
  Shown shown;
  shown.figure = {"frontier", "Time of a step against peak memory, by recompute policy and length", 760, 460,
                  [points, names](const Inks& inks) { return frontier_script(points, names, inks); }};
  shown.heading = "Time against memory";
  shown.caption =
      "Median time of an optimizer step against the peak of the process less what it held before the model. "
      "A "
      "curve is one length, a symbol says what is computed again instead of kept; left and low is better.";
  shown.table = points_table(memory_points(study));
  return shown;
}

Shown length_figure(const Study& study) {
  const std::vector<MemoryPoint> points = memory_points(study);
  Shown shown;
  shown.figure = {"length", "Peak memory against the length of a sequence, flash against naive attention",
                  760, 400, [points](const Inks& inks) { return length_script(points, inks); }};
  shown.heading = "Memory against length";
  shown.caption =
      "The same number of sequences at every length. Dashed, what the backward needs by Korthikanti et al.’s "
      "formula, counted again for this model, over weights, gradients and moments: without the probabilities "
      "of "
      "attention, and with those of every layer kept. Naive attention holds those of one layer at a time.";
  return shown;
}

void memory_findings(const Study& study, std::vector<std::string>& out) {
  const std::vector<MemoryPoint> points = memory_points(study);
  if (policies(points).size() > 1) policy_findings(points, out);
  if (has_lengths(study)) length_findings(points, out);
}

}  // namespace fovea::report
