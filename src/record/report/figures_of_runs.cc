#include <algorithm>
#include <cmath>
#include <map>

#include "core/error.h"
#include "record/report/figures.h"

namespace fovea::report {
namespace {

using plot::Axis;
using plot::Label;

constexpr int64 kBins = 90;  // of equal ratio in tokens; more is noise at the width of a page

struct Trace {
  const Run* run;
  RunRole role;
  std::string conversion;
  std::vector<double> tokens, loss;
};

Trace trace_of(const Run& run) {
  const RunRecord& r = *run.record;
  Trace trace{&run, r.role, r.lineage.conversion, {}, {}};
  const StepSeries& s = r.series;
  const auto first = static_cast<double>(std::max<int64>(1, s.tokens.front()));
  const double span = std::log(std::max(static_cast<double>(s.tokens.back()) / first, 1.0001));
  int64 bin = -1;
  double sum = 0, position = 0;
  int64 n = 0;
  const auto close_bin = [&] {
    if (n == 0) return;
    trace.tokens.push_back(position / static_cast<double>(n));
    trace.loss.push_back(sum / static_cast<double>(n));
    sum = position = 0;
    n = 0;
  };
  for (size_t i = 0; i < s.size(); ++i) {
    if (!std::isfinite(s.train_loss[i]) || s.tokens[i] <= 0) continue;
    const auto at = static_cast<int64>(std::log(static_cast<double>(s.tokens[i]) / first) / span * kBins);
    if (at != bin) close_bin();
    bin = at;
    sum += s.train_loss[i];
    position += static_cast<double>(s.tokens[i]);
    ++n;
  }
  close_bin();
  return trace;
}

/// Of a GQA study: the baseline, the controls, and what was uptrained longest; the shorter ones lie under it.
std::vector<Trace> traces_of(const Study& study) {
  double longest = 0;
  for (const Run& run : study.runs)
    if (run.record) longest = std::max(longest, run.record->lineage.alpha);
  std::vector<Trace> traces;
  for (const Run& run : study.runs) {
    if (!run.record || run.record->series.size() < 2) continue;
    const RunRole role = run.record->role;
    const bool shorter =
        (role == RunRole::uptrained || role == RunRole::control_mha) && run.record->lineage.alpha < longest;
    if (shorter || role == RunRole::converted) continue;
    Trace trace = trace_of(run);
    if (!trace.loss.empty()) traces.push_back(std::move(trace));
  }
  return traces;
}

std::string tokens_text(double tokens) {
  if (tokens >= 1e9) return fmt::format("{:g} G", tokens / 1e9);
  if (tokens >= 1e6) return fmt::format("{:g} M", tokens / 1e6);
  if (tokens >= 1e3) return fmt::format("{:g} k", tokens / 1e3);
  return fmt::format("{:g}", tokens);
}

std::string token_ticks(double low, double high) {
  std::string list;
  const bool dense = high / low < 30;
  for (double power = std::pow(10, std::floor(std::log10(low))); power <= high; power *= 10)
    for (const double lead : {1.0, 2.0, 5.0}) {
      const double tick = lead * power;
      if (tick < low || tick > high || (lead != 1 && !dense)) continue;
      list += fmt::format("{}'{}' {}", list.empty() ? "" : ", ", tokens_text(tick), tick);
    }
  return list;
}

/// Where the curves of one label end: the farthest, and the sum of their losses there.
struct End {
  std::string colour;
  double tokens = 0, loss = 0;
  int runs = 0;
};

/// Labels right of the ends of their curves; those that end near each other are spread as one column.
std::string labels_at_ends(const std::map<std::string, End>& ends, const Axis& y) {
  std::vector<std::pair<std::string, End>> order(ends.begin(), ends.end());
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.second.tokens > b.second.tokens; });
  std::string script;
  for (size_t begin = 0; begin < order.size();) {
    const double right = order[begin].second.tokens;
    std::vector<Label> column;
    for (; begin < order.size() && order[begin].second.tokens * 2 > right; ++begin) {
      const auto& [name, end] = order[begin];
      column.push_back({name, end.colour, std::max(y.fraction(end.loss / end.runs), 0.04)});
    }
    plot::spread(column, 0.062);
    const double lift = std::max(0.0, 0.04 - column.front().placed);  // clear of the axis
    for (const Label& l : column)
      script += fmt::format("set label '{}' at first {}, graph {:.4f} left offset 0.8,0 textcolor rgb '{}'\n",
                            l.text, right, l.placed + lift, l.colour);
  }
  return script;
}

std::string training_script(const std::vector<Trace>& traces, const Inks& inks) {
  std::vector<double> losses;
  double low = INFINITY, high = 0;
  std::string blocks, plots;
  std::map<std::string, End> ends;
  for (size_t i = 0; i < traces.size(); ++i) {
    const Trace& t = traces[i];
    losses.insert(losses.end(), t.loss.begin(), t.loss.end());
    low = std::min(low, t.tokens.front());
    high = std::max(high, t.tokens.back());
    blocks += fmt::format("$t{} << EOD\n", i);
    for (size_t k = 0; k < t.loss.size(); ++k) blocks += fmt::format("{} {}\n", t.tokens[k], t.loss[k]);
    blocks += "EOD\n";
    const std::string colour = plot::colour_of(inks, t.role, t.conversion);
    plots +=
        fmt::format("{}$t{} using 1:2 with lines lc rgb '{}' lw 1.1 dt {}", plots.empty() ? "plot " : ", ", i,
                    colour, t.role == RunRole::control_mha ? "(8,5)" : "1");
    End& end = ends[plot::label_of(t.role, t.conversion)];
    end.colour = colour;
    end.tokens = std::max(end.tokens, t.tokens.back());
    end.loss += t.loss.back();
    ++end.runs;
  }
  const Axis y = plot::axis_over(losses);
  std::string script = plot::style(inks) + blocks;
  script +=
      fmt::format("set logscale x\nset xrange [{}:{}]\nset xtics ({})\n", low, high, token_ticks(low, high));
  script += fmt::format(
      "{}set yrange [{}:{}]\nset ytics {}\nset rmargin at screen 0.80\nset xlabel 'tokens trained on'\n"
      "set ylabel 'training loss (nat/token)'\n",
      y.logarithmic ? "set logscale y\n" : "", y.low, y.high, y.ticks_for_gnuplot());
  if (ends.size() > 1 || traces[0].role != RunRole::train) script += labels_at_ends(ends, y);
  return script + plots + "\n";
}

constexpr double kMiB = 1 << 20;

std::string memory_script(const std::vector<const Run*>& runs, const Inks& inks) {
  std::string block = "$runs << EOD\n";
  double high = 0;
  for (const Run* run : runs) {
    const MemoryUse& m = run->record->memory;
    const double x = static_cast<double>(m.predicted_bytes) / kMiB,
                 y = static_cast<double>(m.measured_peak_bytes) / kMiB;
    high = std::max({high, x, y});
    block += fmt::format("{} {}\n", x, y);
  }
  high *= 1.12;
  return plot::style(inks) + block + "EOD\n" +
         fmt::format(
             "set size ratio 1\nset border 3\nset xrange [0:{0}]\nset yrange [0:{0}]\nset xtics scale 0.5\n"
             "set xlabel 'predicted (MiB)'\nset ylabel 'measured peak (MiB)'\n"
             "set label 'measured = predicted' at graph 0.56,0.61 right textcolor rgb '{1}'\n"
             "plot x with lines lc rgb '{1}' lw 1 dt (8,5), "
             "$runs using 1:2 with points pt 6 ps 0.8 lw 1.4 lc rgb '{2}'\n",
             high, inks.mha, inks.mean);
}

std::vector<const Run*> runs_with_memory(const Study& study) {
  std::vector<const Run*> runs;
  for (const Run& run : study.runs)
    if (run.record && run.record->memory.measured_peak_bytes > 0 && run.record->memory.predicted_bytes > 0)
      runs.push_back(&run);
  return runs;
}

}  // namespace

Shown training_figure(const Study& study) {
  Shown shown;
  const auto traces = traces_of(study);
  shown.figure = {"training", "Training loss against tokens", 760, 400,
                  [traces](const Inks& inks) { return training_script(traces, inks); }};
  shown.heading = "Training";
  shown.caption = "Training loss of every seed, averaged over short stretches of equal ratio.";
  if (study.is_gqa()) shown.caption += " Of what was uptrained, the runs with the largest α.";
  return shown;
}

Shown memory_figure(const Study& study) {
  const auto runs = runs_with_memory(study);
  Shown shown;
  shown.figure = {"memory", "Measured peak of memory against the prediction", 480, 420,
                  [runs](const Inks& inks) { return memory_script(runs, inks); }};
  shown.heading = "Memory";
  shown.caption =
      "The planner’s prediction before a run against the process’s peak less what it held before the model.";
  std::string rows;
  for (const Run* run : runs) {
    const MemoryUse& m = run->record->memory;
    const Datum predicted = run->datum(static_cast<double>(m.predicted_bytes), "/memory/predicted");
    const Datum measured = run->datum(static_cast<double>(m.measured_peak_bytes), "/memory/measured_peak");
    rows += "<tr><td>" + cite_text(run->record->name, run->h5("/@name")) + "</td><td class=n>" +
            cite(predicted, 1, kMiB) + "</td><td class=n>" + cite(measured, 1, kMiB) + "</td><td class=n>" +
            cite(How::percent, {{measured}, {predicted}}, 0) + "&#8239;%</td></tr>\n";
  }
  shown.table =
      "<table><thead><tr><th>run<th class=n>predicted (MiB)<th class=n>measured (MiB)<th class=n>of the "
      "prediction</thead><tbody>\n" +
      rows + "</tbody></table>";
  return shown;
}

}  // namespace fovea::report
