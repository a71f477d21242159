#include "record/report/report.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/file.h"
#include "record/report/figures.h"
#include "record/report/judge.h"
#include "record/report/page_css.h"
#include "record/report/study.h"

namespace fovea {
namespace {

using namespace report;

std::string conversion_cell(const Run& run) {
  const std::string& how = run.record->lineage.conversion;
  return how == "none" ? "" : cite_text(how, run.h5("/lineage@conversion"));
}

std::string run_row(const Run& run) {
  const RunRecord& r = *run.record;
  const auto number = [&](double value, const char* path, int decimals, double scale) {
    return "<td class=n>" + cite(run.datum(value, path), decimals, scale) + "</td>";
  };
  std::string row = "<tr><td>" + cite_text(r.name, run.h5("/@name")) + "</td>";
  row += "<td>" + conversion_cell(run) + "</td>";
  row += r.lineage.kv_heads > 0 ? number(static_cast<double>(r.lineage.kv_heads), "/lineage@kv_heads", 0, 1)
                                : "<td class=n>by layer</td>";
  row +=
      number(r.lineage.alpha, "/lineage@alpha", 2, 1) + number(static_cast<double>(r.seed), "/@seed", 0, 1);
  row += number(static_cast<double>(r.counts.parameters), "/counts/parameters", 3, 1e6);
  row += number(static_cast<double>(r.counts.tokens), "/counts/tokens", 3, 1e6);
  if (r.evaluations.empty() || !std::isfinite(r.evaluations.back().loss)) {
    row += "<td></td><td></td>";
  } else {
    row += number(r.evaluations.back().loss, "/final/loss", 4, 1);
    const std::optional<double>& bits = r.evaluations.back().bits_per_byte;
    row += bits ? number(*bits, "/final/bits_per_byte", 4, 1) : "<td></td>";
  }
  return row + number(r.seconds, "/timing/total", 1, 1) + "</tr>\n";
}

std::string runs_table(const Study& study) {
  std::string rows;
  for (const Run& run : study.runs)
    if (run.record && run.problem.empty()) rows += run_row(run);
  if (rows.empty()) return "<p>No run is done yet.</p>";
  return "<div class=wide><table><thead><tr><th>run<th>from<th class=n>G<th class=n>α<th class=n>seed<th "
         "class=n>parameters (M)<th class=n>tokens (M)<th class=n>loss (nat/token)<th class=n>bit/byte<th "
         "class=n>time (s)</thead><tbody>\n" +
         rows + "</tbody></table></div>";
}

/// What differs between runs is shown per run; here stands each machine and program once, with an example.
std::string provenance_table(const Study& study) {
  struct Field {
    const char* label;
    const char* path;
    std::string (*text)(const Provenance&);
  };
  const Field fields[] = {
      {"version", "/provenance@version", [](const Provenance& p) { return p.version; }},
      {"commit", "/provenance@commit", [](const Provenance& p) { return p.commit; }},
      {"compiler", "/provenance@compiler", [](const Provenance& p) { return p.compiler; }},
      {"flags", "/provenance@flags", [](const Provenance& p) { return p.flags; }},
      {"processor", "/provenance@cpu", [](const Provenance& p) { return p.cpu; }},
      {"instructions", "/provenance@instruction_set", [](const Provenance& p) { return p.instruction_set; }},
      {"threads", "/provenance@threads", [](const Provenance& p) { return std::to_string(p.threads); }},
      {"backend", "/provenance@backend", [](const Provenance& p) { return p.backend; }},
  };
  std::string rows;
  for (const Field& field : fields) {
    std::vector<std::string> seen;
    std::string values;
    for (const Run& run : study.runs) {
      if (!run.record) continue;
      const std::string text = field.text(run.record->provenance);
      if (std::find(seen.begin(), seen.end(), text) != seen.end()) continue;
      seen.push_back(text);
      values += (values.empty() ? "" : "<br>") + cite_text(text, run.h5(field.path));
    }
    rows += fmt::format("<tr><th scope=row>{}</th><td>{}</td></tr>\n", field.label, values);
  }
  const bool dirty = std::any_of(study.runs.begin(), study.runs.end(),
                                 [](const Run& r) { return r.record && r.record->provenance.dirty; });
  rows += fmt::format("<tr><th scope=row>checkout</th><td>{}</td></tr>\n",
                      dirty ? "with changes that are in no commit" : "clean");
  return "<table class=facts><tbody>\n" + rows + "</tbody></table>";
}

std::string when_and_who(const Study& study) {
  std::string rows;
  for (const Run& run : study.runs) {
    if (!run.record) continue;
    const Provenance& p = run.record->provenance;
    rows += "<tr><td>" + cite_text(run.record->name, run.h5("/@name")) + "</td><td>" +
            cite_text(p.started, run.h5("/provenance@started")) + "</td><td>" +
            cite_text(p.finished, run.h5("/provenance@finished")) + "</td><td>" +
            cite_text(p.host, run.h5("/provenance@host")) + "</td><td>" +
            cite_text(p.commit.substr(0, 10), run.h5("/provenance@commit")) +
            (p.dirty ? " with changes" : "") + "</td><td><code>" +
            cite_text(run.record->identity, run.h5("/@identity")) + "</code></td></tr>\n";
  }
  return "<details><summary>When, where and from which code each run was made</summary><div "
         "class=wide><table>"
         "<thead><tr><th>run<th>started<th>finished<th>host<th>commit<th>identity</thead><tbody>\n" +
         rows + "</tbody></table></div></details>";
}

std::string problems(const Study& study) {
  std::string items, waiting;
  for (const Run& run : study.runs) {
    if (run.problem.empty()) continue;
    const std::string name = escape_html(run.entry.name);
    if (run.waits)
      waiting += (waiting.empty() ? "" : ", ") + name;
    else
      items += "<li class=text><strong>" + name + "</strong>: " + escape_html(run.problem) + "</li>\n";
  }
  if (!waiting.empty())
    items += "<li class=text><details><summary>Runs that wait for their turn</summary>" + waiting +
             "</details></li>\n";
  return items.empty()
             ? ""
             : "<section class=warn><h2>Not in the figures</h2><ul>\n" + items + "</ul></section>\n";
}

std::string figure_html(const Shown& shown, const std::string& svg) {
  std::string html = "<section><h2>" + shown.heading +
                     "</h2>\n<figure style=\"max-width:" + std::to_string(shown.figure.width) + "px\">\n" +
                     svg + "\n<figcaption>" + shown.caption + " <a href=\"" + shown.figure.name +
                     ".pdf\">PDF</a></figcaption></figure>\n";
  if (!shown.table.empty())
    html += "<details><summary>The numbers</summary><div class=wide>" + shown.table + "</div></details>\n";
  return html + "</section>\n";
}

std::string summary_line(const Study& study) {
  Sample done;
  for (const Run& run : study.runs)
    if (run.problem.empty()) done.push_back(run.datum(1, "/@state"));
  std::string text =
      done.empty() ? "No run is done" : cite(How::count, {done}, 0) + (done.size() == 1 ? " run" : " runs");
  for (const Run& run : study.runs) {
    if (!run.record || run.record->corpus.description.empty()) continue;
    text += " on " + cite_text(run.record->corpus.description, run.h5("/corpus@description"));
    break;
  }
  return text + ".";
}

std::string page(const Study& study, const std::vector<Judgement>& judgements,
                 const std::vector<Shown>& shown, const std::vector<std::string>& svgs) {
  const std::string name = escape_html(study.index.name);
  std::string html =
      "<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<meta name=viewport "
      "content=\"width=device-width,initial-scale=1\">\n<title>" +
      name + "</title>\n<style>\n" + ink_css() + kPageCss +
      "</style>\n</head>\n<body>\n<header><p class=kind>fovea · " +
      (study.is_gqa() ? "grouped-query attention against MHA" : "training") + "</p><h1 class=text>" + name +
      "</h1><p class=lead>" + summary_line(study) + "</p></header>\n<main>\n";
  const std::vector<std::string> words = findings(study);
  if (!words.empty()) {
    html += "<section class=findings><h2>Findings</h2><ul>\n";
    for (const std::string& finding : words) html += "<li>" + finding + "</li>\n";
    html += "</ul></section>\n";
  }
  html += claims_section(judgements);
  html += problems(study);
  for (size_t i = 0; i < shown.size(); ++i) html += figure_html(shown[i], svgs[i]);
  html += "<section><h2>All runs</h2>\n" + runs_table(study) + "</section>\n";
  html += "<section><h2>Provenance</h2>\n" + provenance_table(study) + when_and_who(study) +
          "<details><summary>Configuration</summary><pre class=text>" + escape_html(study.index.config) +
          "</pre></details></section>\n";
  return html + "</main>\n</body>\n</html>\n";
}

// A figure by itself, for documents that show it without the page: the page's colours, its paper and its
// type.
std::string standalone_svg(const std::string& svg) {
  const size_t inside = svg.find('>') + 1;
  return svg.substr(0, inside) + "<style>\n" + ink_css() +
         "svg{background:#fff;font-family:system-ui,\"Segoe UI\",Roboto,Arial,\"DejaVu Sans\",sans-serif;"
         "color:var(--ink)}\n@media (prefers-color-scheme:dark){svg{background:#16181b}}\n</style>" +
         svg.substr(inside) + "\n";
}

/// What is kept with a study is an input like any of its files.
std::vector<Claim> claims_of(const Study& study, const std::filesystem::path& directory) {
  try {
    return parse_all(study.index.claims);
  } catch (const UserError& error) {
    fail_input("{}: its claims: {}", (directory / kStudyFileName).string(), error.what());
  }
}

}  // namespace

std::vector<std::filesystem::path> write_report(const std::filesystem::path& directory,
                                                const std::vector<ClaimFile>& claims) {
  const Study study = load_study(directory);
  const std::vector<Judgement> judgements =
      judge(study, claims.empty() ? claims_of(study, directory) : parse_all(claims));
  const std::vector<Shown> shown = figures_of(study);
  std::vector<Figure> figures;
  for (const Shown& s : shown) figures.push_back(s.figure);
  const std::vector<std::string> svgs = draw(figures, directory);
  const std::filesystem::path html = directory / "report.html";
  write_file_atomically(html, page(study, judgements, shown, svgs));
  std::vector<std::filesystem::path> written = {html};
  if (!judgements.empty()) {
    written.push_back(directory / "claims.md");
    write_file_atomically(written.back(), claims_markdown(judgements));
  }
  for (size_t i = 0; i < figures.size(); ++i) {
    const std::filesystem::path svg = directory / (figures[i].name + ".svg");
    write_file_atomically(svg, standalone_svg(svgs[i]));
    written.push_back(directory / (figures[i].name + ".pdf"));
    written.push_back(svg);
  }
  return written;
}

}  // namespace fovea
