#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "record/report/figures.h"

namespace fovea::report {
namespace {

constexpr size_t kMostBars = 16;
constexpr int kLine = 22;  // height of a bar with its room, in pixels

std::vector<const Run*> profiled(const Study& study) {
  std::vector<const Run*> runs;
  for (const Run& run : study.runs)
    if (run.record && run.record->profile && run.record->profile->seconds > 0) runs.push_back(&run);
  return runs;
}

/// Places in the file's list, those that took longest first.
std::vector<size_t> by_time(const StepProfile& profile) {
  std::vector<size_t> order(profile.operations.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return profile.operations[a].seconds > profile.operations[b].seconds;
  });
  return order;
}

/// A bar per operation, as long as its share of the step; dark, what the machine's limits would take.
std::string script_of(const StepProfile& p, const Inks& inks) {
  const std::vector<size_t> order = by_time(p);
  std::string bars, names;
  double longest = 0, rest = p.seconds;
  size_t row = 0;
  const auto bar = [&](double from, double to, const char* solid, const std::string& ink) {
    bars += fmt::format(
        "set object rectangle from {:.5f},{} to {:.5f},{} fc rgb '{}' fs transparent solid {} noborder\n",
        from, static_cast<double>(row) - 0.36, to, static_cast<double>(row) + 0.36, ink, solid);
  };
  const auto label = [&](double at, const std::string& text) {
    bars +=
        fmt::format("set label {} at {:.5f},{} left offset 0.7,0 textcolor rgb '{}' font ',11' noenhanced\n",
                    plot::quoted(text), at, row, inks.text);
  };
  const auto line = [&](const std::string& name, double seconds, double least) {
    const double share = 100 * seconds / p.seconds, bound = std::min(share, 100 * least / p.seconds);
    bar(0, bound, "0.9", inks.mean);
    bar(bound, share, "0.3", inks.mean);
    label(share, least > 0 ? fmt::format("{:.1f} %, at {:.0f} % of the limit", share, 100 * least / seconds)
                           : fmt::format("{:.1f} %", share));
    names += fmt::format("{}{} {}", names.empty() ? "" : ", ", plot::quoted(name), row);
    longest = std::max(longest, share);
    ++row;
  };
  for (size_t i = 0; i < std::min(order.size(), kMostBars); ++i) {
    const OperationCost& operation = p.operations[order[i]];
    line(operation.name, operation.seconds, p.least_seconds(operation));
  }
  for (const OperationCost& operation : p.operations) rest -= operation.seconds;
  if (order.size() > kMostBars) {
    double shorter = 0;
    for (size_t i = kMostBars; i < order.size(); ++i) shorter += p.operations[order[i]].seconds;
    line("shorter ones", shorter, 0);
  }
  line("between operations", std::max(0.0, rest), 0);
  return plot::style(inks) + bars +
         fmt::format(
             "unset grid\nset grid xtics lt 1 lc rgb '{0}' lw 0.8\nset lmargin 24\nset xrange [0:{1:.4f}]\n"
             "set yrange [{2}:-0.6]\nset ytics ({3}) noenhanced\nset xlabel 'part of a step (%)'\n"
             "plot NaN lc rgb '{0}'\n",
             inks.faint, longest * 1.45, static_cast<double>(row) - 0.4, names);
}

std::string table_of(const std::vector<const Run*>& runs) {
  std::string rows;
  for (const Run* run : runs) {
    const StepProfile& p = *run->record->profile;
    const Datum total = run->datum(p.seconds, "/profile/seconds");
    for (const size_t i : by_time(p)) {
      const OperationCost& operation = p.operations[i];
      const auto at = [&](double value, const char* column) {
        return run->datum(value, fmt::format("/profile/operations/{}[{}]", column, i).c_str());
      };
      const auto cell = [&](double value, const char* column, int decimals, double scale) {
        return "<td class=n>" + cite(at(value, column), decimals, scale) + "</td>";
      };
      rows += "<tr><td>" + cite_text(run->record->name, run->h5("/@name")) + "</td><td>" +
              escape_html(operation.name) + "</td>" +
              cell(static_cast<double>(operation.calls), "calls", 0, 1) +
              cell(operation.seconds, "seconds", 3, 1) + "<td class=n>" +
              cite(How::percent, {{at(operation.seconds, "seconds")}, {total}}, 1) + "</td>" +
              cell(operation.flops, "flops", 3, 1e9) + cell(operation.bytes, "bytes", 3, 1 << 30);
      const double least = p.least_seconds(operation);
      rows += operation.seconds > 0 && least > 0 ? cell(least / operation.seconds, "roofline", 1, 0.01)
                                                 : "<td></td>";
      rows += "</tr>\n";
    }
  }
  return "<table><thead><tr><th>run<th>operation<th class=n>calls<th class=n>time (s)<th class=n>of the "
         "steps (%)<th class=n>GFLOP<th class=n>GiB<th class=n>of the limit (%)</thead><tbody>\n" +
         rows + "</tbody></table>";
}

}  // namespace

bool has_profile(const Study& study) { return !profiled(study).empty(); }

Shown profile_figure(const Study& study) {
  const std::vector<const Run*> runs = profiled(study);
  const Run& run = *runs.front();
  const StepProfile profile = *run.record->profile;
  const int rows = static_cast<int>(std::min(profile.operations.size(), kMostBars + 1)) + 1;
  Shown shown;
  shown.figure = {"profile", "Time of each operation in a training step, and what the machine's limits allow",
                  760, 70 + kLine * rows, [profile](const Inks& inks) { return script_of(profile, inks); }};
  shown.heading = "Where the time of a step goes";
  const auto limit = [&](double value, const char* path, double scale) {
    return cite(run.datum(value, path), 0, scale);
  };
  shown.caption =
      cite_text(run.record->name, run.h5("/@name")) + ", " +
      cite(run.datum(static_cast<double>(profile.steps), "/profile/steps"), 0) +
      " steps. Dark is the least time that the machine allows, measured at the start on all threads: " +
      limit(profile.f32_flops, "/profile/f32_flops", 1e9) + " GFLOP/s in single precision, " +
      limit(profile.bf16_flops, "/profile/bf16_flops", 1e9) + " in half, " +
      limit(profile.read_bandwidth, "/profile/read_bandwidth", 1e9) +
      " GB/s read; each operand moves once. What comes out of caches may pass the limit.";
  shown.table = table_of(runs);
  return shown;
}

}  // namespace fovea::report
