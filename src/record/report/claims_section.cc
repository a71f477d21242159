#include <cmath>

#include "core/error.h"
#include "record/report/judge.h"

namespace fovea::report {
namespace {

std::string quoted(const Claim& claim, const char* field, const std::string& text) {
  return fmt::format(R"(<span data-claim="{}/{}">{}</span>)", escape_html(claim.name), field,
                     escape_html(text));
}

std::string verdict_cell(Verdict verdict) {
  const char* mark = verdict == Verdict::holds          ? "✓"
                     : verdict == Verdict::fails        ? "✗"
                     : verdict == Verdict::underpowered ? "?"
                                                        : "–";
  const char* style = verdict == Verdict::untestable ? "untestable" : name_of(verdict).data();
  return fmt::format("<td class=\"verdict {}\"><span aria-hidden=true>{}</span> {}</td>", style, mark,
                     name_of(verdict));
}

std::string claimed(const Claim& claim) {
  return fmt::format("{} {}", symbol_of(claim.relation), claim.threshold);
}

/// No seeds would do where effect and threshold are one; of one seed nothing is known.
std::string seeds_needed(const Judgement& j) {
  if (j.contrast.size() < 2) return "unknown";
  if (std::isnan(derive(Part::seeds_needed, j.contrast, j.claim.threshold))) return "no number would do";
  return cite(Part::seeds_needed, j.contrast, 0, j.claim.threshold);
}

std::string row(const Judgement& j) {
  std::string html =
      "<tr>" + verdict_cell(j.verdict) + "<td>" + quoted(j.claim, "point", text_of(j.claim.point)) + "</td>";
  if (j.verdict == Verdict::untestable)
    return html + "<td colspan=5 class=reason>" + quoted(j.claim, "reason", j.reason) + "</td></tr>\n";
  const int decimals = find_quantity(j.claim.quantity)->decimals;
  html += "<td class=n>" + cite(Part::mean, j.contrast, decimals) + "</td><td class=n>";
  if (j.contrast.size() > 1)
    html += cite(Part::low, j.contrast, decimals) + " to " + cite(Part::high, j.contrast, decimals);
  html += "</td><td class=n>" + quoted(j.claim, "claimed", claimed(j.claim)) + "</td>";
  html += "<td class=n>" + cite(How::count, {j.contrast.samples[0]}, 0) + "</td>";
  return html + "<td class=n>" + seeds_needed(j) + "</td></tr>\n";
}

/// The sentence above the rows of its points.
std::string head(const Claim& claim) {
  const std::string what =
      claim.untestable.empty()
          ? fmt::format("<br><code>{}</code>", quoted(claim, "statistic", statistic_of(claim)))
          : "";
  return fmt::format(
      "<tr class=claim><th colspan=7 scope=rowgroup><span class=says>{}</span> <cite>{}</cite>{}</th></tr>\n",
      quoted(claim, "says", claim.says), quoted(claim, "source", claim.source), what);
}

/// The text as it may stand in a table in Markdown.
std::string in_a_cell(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

}  // namespace

std::string claims_section(const std::vector<Judgement>& judgements) {
  if (judgements.empty()) return "";
  std::string rows;
  const Claim* last = nullptr;
  for (const Judgement& j : judgements) {
    if (!last || last->name != j.claim.name)
      rows += fmt::format("{}<tbody>{}", last ? "</tbody>\n" : "", head(j.claim));
    last = &j.claim;
    rows += row(j);
  }
  return "<section class=claims><h2>Published claims</h2>\n<p>A claim holds, or fails, where the whole "
         "95&nbsp;% "
         "interval of its number lies on that side of the threshold (Student’s t over seeds, runs of one "
         "seed "
         "compared with each other); else more seeds are needed.</p>\n<div "
         "class=wide><table><thead><tr><th>verdict"
         "<th>for<th class=n>effect<th class=n>interval<th class=n>claimed<th class=n>seeds<th class=n>seeds "
         "that "
         "settle it</thead>\n" +
         rows + "</tbody></table></div></section>\n";
}

std::string claims_markdown(const std::vector<Judgement>& judgements) {
  std::string text =
      "| claim | for | claimed | effect, 95 % interval | seeds (settled by) | verdict "
      "|\n|---|---|---|---|---|---|\n";
  const Claim* last = nullptr;
  for (const Judgement& j : judgements) {
    const Claim& claim = j.claim;
    const bool again = last && last->name == claim.name;
    last = &claim;
    text +=
        fmt::format("| {} | {} | ", again ? "" : in_a_cell(fmt::format("{} ({})", claim.says, claim.source)),
                    in_a_cell(text_of(claim.point)));
    if (j.verdict == Verdict::untestable) {
      text += fmt::format("| {} | | {} |\n", in_a_cell(j.reason), name_of(j.verdict));
      continue;
    }
    const int decimals = find_quantity(claim.quantity)->decimals;
    const Estimate e = estimate(j.contrast);
    const double needed = derive(Part::seeds_needed, j.contrast, claim.threshold);
    text += fmt::format("{} | {:.{}f}", claimed(claim), e.mean, decimals);
    if (e.n > 1)
      text += fmt::format(", {:.{}f} to {:.{}f}", e.mean - e.half_width, decimals, e.mean + e.half_width,
                          decimals);
    text += fmt::format(" | {} ({}) | **{}** |\n", e.n,
                        std::isnan(needed) ? "unknown" : fmt::format("{:.0f}", needed), name_of(j.verdict));
  }
  return text;
}

}  // namespace fovea::report
