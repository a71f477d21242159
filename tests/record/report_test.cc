#include "record/report/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

#include "core/file.h"
#include "expect_error.h"
#include "record/hdf5.h"
#include "record/report/cited.h"
#include "record/report/study.h"
#include "record/run_file.h"
#include "record/statistics.h"
#include "record/study_index.h"
#include "synthetic.h"

namespace fovea {
namespace {

using test::expect_error;
using test::TemporaryDirectory;
using testing::HasSubstr;
using testing::Not;

bool program_exists(const char* name) {
  return std::system(fmt::format("command -v {} >/dev/null 2>&1", name).c_str()) == 0;
}

/// Each verdict once, and what a hostile author could write.
const ClaimFile kClaims = {"claims/pooling.toml", R"(
study = "gqa"
source = "<b>Somebody</b> 2023, figure 4 | a"
[[claim]]
name = "pooling <i>'1'</i>"
says = "Pooling is \"best\" <script>alert(1)</script>"
where = { alpha = 0 }
each = { kv_heads = [4, 1] }
of = { conversion = "mean" }
against = { conversion = "random" }
relation = "<"
threshold = 0
[[claim]]
name = "worst"
says = "It is worst."
statistic = "sum"
terms = [{weight = 1, runs = {conversion = "mean", alpha = 0, kv_heads = 4}},
         {weight = -0.5, runs = {conversion = "random", alpha = 0, kv_heads = 4}},
         {weight = -0.5, runs = {conversion = "first", alpha = 0, kv_heads = 4}}]
relation = ">="
threshold = 1.25
[[claim]]
name = "scratch"
says = "From scratch it ends where MHA ends after 2 M tokens."
of = { role = "control_scratch", kv_heads = 4 }
against = { role = "baseline" }
relation = "<"
threshold = 0.0301
[[claim]]
name = "decoding"
says = "Decoding takes 12 times less."
untestable = "nothing decodes 1 token"
)"};

/// One study and its page for all tests that only look.
class GqaReport : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!program_exists("gnuplot")) return;
    directory_ = new TemporaryDirectory;
    test::write_gqa_study(directory_->path(), 2, {{kClaims}, 0});
    files_ = write_report(directory_->path());
    page_ = read_file(*directory_ / "report.html");
  }
  static void TearDownTestSuite() {
    delete directory_;
    directory_ = nullptr;
  }
  void SetUp() override {
    if (!directory_) GTEST_SKIP() << "gnuplot is not installed (package gnuplot-nox)";
  }

  static inline TemporaryDirectory* directory_ = nullptr;
  static inline std::vector<std::filesystem::path> files_;
  static inline std::string page_;
};

/// Reads "run/run.h5:/group/name", "run/run.h5:/group/name[3]" or "run/run.h5:/group@attribute", each file
/// opened once.
class Source {
 public:
  explicit Source(std::filesystem::path directory) : directory_(std::move(directory)) {}

  AttributeValue value(const std::string& place) {
    const size_t colon = place.find(':');
    const h5::Group& root = file(place.substr(0, colon));
    const std::string path = place.substr(colon + 1);
    if (const size_t at = path.find('@'); at != std::string::npos)
      return root.any_attribute(path.substr(0, at), path.substr(at + 1));
    const size_t bracket = path.find('[');
    const size_t index = bracket == path.npos ? 0 : std::stoul(path.substr(bracket + 1));
    return root.read<double>(path.substr(0, bracket)).values.at(index);
  }
  double number(const std::string& place) {
    const AttributeValue v = value(place);
    if (const auto* real = std::get_if<double>(&v)) return *real;
    return static_cast<double>(std::get<int64>(v));
  }
  std::string text(const std::string& place) {
    const AttributeValue v = value(place);
    if (const auto* whole = std::get_if<int64>(&v)) return std::to_string(*whole);
    return std::get<std::string>(v);
  }

 private:
  const h5::Group& file(const std::string& name) {
    auto found = files_.find(name);
    if (found == files_.end()) found = files_.emplace(name, h5::open_file(directory_ / name)).first;
    return found->second;
  }
  std::filesystem::path directory_;
  std::map<std::string, h5::Group> files_;
};

std::string unescaped(std::string text) {
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&#39;", "'"}, {"&amp;", "&"}})
    for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
      text.replace(at, from.size(), to);
  return text;
}

using Values = std::vector<double>;

double average(const Values& v) {
  double sum = 0;
  for (const double x : v) sum += x;
  return sum / static_cast<double>(v.size());
}

const double kT1 = std::tan(0.475 * M_PI);  // Student's t of one degree at 97.5 %

/// Sums over two seeds, written down a second time.
double expected_of_contrast(const std::string& part, const std::vector<Values>& v, const Values& weights,
                            double threshold) {
  double first = 0, second = 0;
  for (size_t k = 0; k < v.size(); ++k) {
    EXPECT_EQ(v[k].size(), 2U);
    first += weights.at(k) * v[k].at(0);
    second += weights.at(k) * v[k].at(1);
  }
  const double centre = (first + second) / 2, half = kT1 * std::abs(first - second) / 2;
  if (part == "mean") return centre;
  if (part == "half-width") return half;
  if (part == "low") return centre - half;
  if (part == "high") return centre + half;
  EXPECT_EQ(part, "seeds-needed");
  int64 n = 2;
  const double deviation = std::abs(first - second) / std::sqrt(2.0);
  while (student_t_quantile(0.975, static_cast<double>(n - 1)) * deviation /
             std::sqrt(static_cast<double>(n)) >=
         std::abs(centre - threshold))
    ++n;
  return static_cast<double>(n);
}

/// The same quantities as the page's, written down a second time.
double expected(const std::string& how, const std::vector<Values>& v) {
  if (how == "mean") return average(v[0]);
  if (how == "percent") return average(v[0]) / average(v[1]) * 100;
  if (how == "recovery") return 100 * (average(v[0]) - average(v[1])) / (average(v[0]) - average(v[2]));
  if (how == "count") return static_cast<double>(v[0].size());
  if (how == "interval") return kT1 * std::abs(v[0].at(0) - v[0].at(1)) / 2;  // of two: t(1) s / sqrt(2)
  Values ratios;
  for (size_t i = 0; i < v[0].size(); ++i) ratios.push_back(v[0][i] / v[1][i]);
  if (how == "max-ratio") return *std::max_element(ratios.begin(), ratios.end());
  if (how == "min-ratio") return *std::min_element(ratios.begin(), ratios.end());
  ADD_FAILURE() << how;
  return 0;
}

/// Each opening tag with its text; std::regex would overflow its stack on a page.
struct Element {
  std::string tag, text;
};
std::vector<Element> elements(const std::string& page, const std::string& begin, const std::string& end) {
  std::vector<Element> found;
  for (size_t at = page.find(begin); at != std::string::npos; at = page.find(begin, at + 1)) {
    const size_t close = page.find('>', at), stop = page.find(end, close);
    found.push_back({page.substr(at, close - at), page.substr(close + 1, stop - close - 1)});
  }
  return found;
}

std::string attribute_of(const std::string& tag, const std::string& name) {
  const std::string begin = name + "=\"";
  const size_t at = tag.find(begin);
  if (at == std::string::npos) return "";
  return unescaped(tag.substr(at + begin.size(), tag.find('"', at + begin.size()) - at - begin.size()));
}

Values numbers(const std::string& text) {
  std::istringstream words(text);
  Values result;
  for (double number; words >> number;) result.push_back(number);
  return result;
}

TEST_F(GqaReport, EveryNumberIsInTheFiles) {
  Source source(directory_->path());
  const auto data = elements(page_, "<data ", "</data>");
  EXPECT_GT(data.size(), 500U);
  std::map<std::string, int> hows;
  for (const Element& element : data) {
    if (attribute_of(element.tag, "data-how") != "count") {
      std::vector<Values> groups(1);
      std::istringstream places(attribute_of(element.tag, "data-h5"));
      for (std::string place; places >> place;)
        if (place == "|")
          groups.emplace_back();
        else
          groups.back().push_back(source.number(place));
      const std::string how = attribute_of(element.tag, "data-how");
      ++hows[how];
      const double value = how.starts_with("contrast-")
                               ? expected_of_contrast(how.substr(9), groups,
                                                      numbers(attribute_of(element.tag, "data-weights")),
                                                      std::stod(attribute_of(element.tag, "data-threshold")))
                               : expected(how, groups) / std::stod(attribute_of(element.tag, "data-scale"));
      const size_t point = element.text.find('.');
      const double decimals =
          point == std::string::npos ? 0 : static_cast<double>(element.text.size() - point - 1);
      EXPECT_NEAR(std::stod(element.text), value, 0.5001 * std::pow(10, -decimals)) << element.tag;
      EXPECT_NEAR(std::stod(attribute_of(element.tag, "value")), value,
                  1e-9 * std::max(1.0, std::abs(value)));
    }
  }
  for (const char* how : {"mean", "interval", "percent", "recovery", "max-ratio", "contrast-mean",
                          "contrast-half-width", "contrast-low", "contrast-high", "contrast-seeds-needed"})
    EXPECT_GT(hows[how], 0) << how;
}

TEST_F(GqaReport, EveryTextOfARunIsInItsFile) {
  Source source(directory_->path());
  const auto texts = elements(page_, "<span data-h5", "</span>");
  EXPECT_GT(texts.size(), 100U);
  for (const Element& element : texts) {
    const std::string place = attribute_of(element.tag, "data-h5");
    const std::string whole = source.text(place), shown = unescaped(element.text);
    EXPECT_TRUE(place.ends_with("@commit") ? whole.starts_with(shown) : whole == shown) << place;
  }
}

/// What is quoted of a claim stands so in the file that the study names.
TEST_F(GqaReport, EveryQuoteIsOfAClaim) {
  std::map<std::string, std::vector<std::string>> fields;
  for (const Claim& claim : parse_claims(kClaims)) {
    fields[claim.name + "/says"].push_back(claim.says);
    fields[claim.name + "/source"].push_back(claim.source);
    fields[claim.name + "/point"].push_back(text_of(claim.point));
    fields[claim.name + "/reason"].push_back(claim.untestable);
    if (!claim.untestable.empty()) continue;
    fields[claim.name + "/statistic"].push_back(statistic_of(claim));
    fields[claim.name + "/claimed"].push_back(
        fmt::format("{} {}", symbol_of(claim.relation), claim.threshold));
  }
  const auto quotes = elements(page_, "<span data-claim", "</span>");
  EXPECT_GT(quotes.size(), 15U);
  for (const Element& quote : quotes)
    EXPECT_THAT(fields[attribute_of(quote.tag, "data-claim")], testing::Contains(unescaped(quote.text)))
        << quote.tag;
}

TEST_F(GqaReport, GivesEachClaimAVerdict) {
  std::vector<std::string> verdicts;
  for (const Element& cell : elements(page_, "<td class=\"verdict", "</td>"))
    verdicts.push_back(cell.text.substr(cell.text.rfind("> ") + 2));
  EXPECT_THAT(verdicts, testing::ElementsAre("holds", "holds", "fails", "underpowered", "not testable"));
  const std::string table = read_file(*directory_ / "claims.md");
  for (const char* verdict :
       {"**holds**", "**fails**", "**underpowered**", "nothing decodes", "figure 4 \\| a"})
    EXPECT_THAT(table, HasSubstr(verdict));
}

void erase_between(std::string& text, const std::string& begin, const std::string& end) {
  for (size_t at = text.find(begin); at != std::string::npos; at = text.find(begin, at))
    text.erase(at, text.find(end, at) + end.size() - at);
}

TEST_F(GqaReport, NoNumberStandsWithoutItsSource) {
  std::string page = page_;
  erase_between(page, "<data ", "</data>");
  erase_between(page, "<span data-h5", "</span>");
  erase_between(page, "<span data-claim", "</span>");  // from the file of claims
  erase_between(page, "<style", "</style>");
  erase_between(page, "<svg", "</svg>");             // scales; the numbers behind stand in tables
  erase_between(page, "<li class=text", "</li>");    // names and errors of runs that have no file
  erase_between(page, "<pre class=text", "</pre>");  // the configuration as it was written
  erase_between(page, "<h1 class=text", "</h1>");
  erase_between(page, "<title", "</title>");
  erase_between(page, "<", ">");
  erase_between(page, "95&nbsp;%", " ");
  erase_between(page, "&#", ";");
  const size_t digit = page.find_first_of("0123456789");
  EXPECT_EQ(digit, std::string::npos) << page.substr(digit > 40 ? digit - 40 : 0, 80);
}

TEST_F(GqaReport, FindsWhatTheNumbersSay) {
  std::string words = page_;
  erase_between(words, "<style", "</style>");
  erase_between(words, "<svg", "</svg>");
  erase_between(words, "<", ">");
  EXPECT_THAT(words, HasSubstr("G = 4, mean pooling"));
  EXPECT_THAT(words, HasSubstr("with 50 % of the KV cache"));
  EXPECT_THAT(words, HasSubstr("with 12.5 % of the KV cache"));
  EXPECT_THAT(words, HasSubstr("of the gap that conversion opened"));
  EXPECT_THAT(words, Not(HasSubstr("follows -"))) << "the second is not ahead of the first";
  EXPECT_THAT(words, HasSubstr("; the seeds do not tell them apart."));
  EXPECT_THAT(words, HasSubstr("uptrained-g1-mean-a0.2-s0: step 12: layer 3: the loss is not finite"));
  EXPECT_THAT(words, HasSubstr("uptrained-g1-first-a0.2-s0: failed, no results yet"));
}

TEST_F(GqaReport, HasItsFiguresOnThePageAndAsFiles) {
  ASSERT_EQ(files_.size(), 12U);
  for (const char* name : {"quality", "alpha", "training", "memory", "profile"}) {
    const std::string pdf = read_file(*directory_ / (std::string(name) + ".pdf"));
    EXPECT_TRUE(pdf.starts_with("%PDF")) << name;
    const std::string svg = read_file(*directory_ / (std::string(name) + ".svg"));
    EXPECT_TRUE(svg.starts_with("<svg ")) << name;
    EXPECT_THAT(svg, HasSubstr("--ink:")) << name << " brings its colours along";
    EXPECT_THAT(page_, HasSubstr(std::string("href=\"") + name + ".pdf\""));
  }
  EXPECT_EQ(elements(page_, "<svg ", ">").size(), 5U);
  // every colour follows the page from light to dark
  EXPECT_THAT(page_, Not(HasSubstr("rgb(")));
}

TEST_F(GqaReport, FetchesNothing) {
  for (const char* word :
       {"<script", "<link", "<img", "<iframe", "@import", "url(http", "src=", "href=\"http", "href=\"//"})
    EXPECT_THAT(page_, Not(HasSubstr(word)));
}

/// What the browser made of the page, by a script that is only in the test's copy of it.
nlohmann::json probe(const std::filesystem::path& directory, const std::string& page, bool dark) {
  const std::string script = R"(<script>addEventListener('load', () => {
    const channels = c => (c.match(/[\d.]+/g) || []).map(Number);
    const light = c => { const [r, g, b] = channels(c).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
                         return .2126 * r + .7152 * g + .0722 * b; };
    const contrast = (a, b) => (Math.max(light(a), light(b)) + .05) / (Math.min(light(a), light(b)) + .05);
    const paper = getComputedStyle(document.body).backgroundColor;
    const texts = [...document.querySelectorAll('svg text')];
    const words = [...document.querySelectorAll('p, li, td, th, figcaption, summary')];
    const out = {paper: light(paper),
      requests: performance.getEntriesByType('resource').length,
      figures: [...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().height > 100).length,
      text: texts.length,
      worst_figure: Math.min(...texts.map(t => contrast(getComputedStyle(t).fill, paper))),
      worst_page: Math.min(...words.map(t => contrast(getComputedStyle(t).color, paper))),
      overflow: document.documentElement.scrollWidth - innerWidth};
    document.body.innerHTML = '<pre id=probe>' + JSON.stringify(out) + '</pre>'; });</script>)";
  write_file_atomically(directory / "probe.html", page + script);
  const std::filesystem::path out = directory / "dom.html";
  const std::string command = fmt::format(
      "HOME={0} timeout 60 chromium --headless --no-sandbox --disable-gpu --disable-background-networking "
      "--user-data-dir={0}/profile --window-size=1000,800 --blink-settings=preferredColorScheme={1} "
      "--dump-dom "
      "file://{0}/probe.html > {2} 2> {0}/log",
      directory.string(), dark ? 0 : 1, out.string());
  EXPECT_EQ(std::system(command.c_str()), 0) << read_file(directory / "log");
  const std::string dom = read_file(out);
  const size_t begin = dom.find("<pre id=\"probe\">");
  if (begin == std::string::npos) return {};
  const size_t from = begin + 16;
  return nlohmann::json::parse(dom.substr(from, dom.find("</pre>", from) - from), nullptr, false);
}

TEST_F(GqaReport, ReadsWellInABrowserLightAndDark) {
  if (!program_exists("chromium")) GTEST_SKIP() << "chromium is not installed (package chromium)";
  const TemporaryDirectory work;
  for (const bool dark : {false, true}) {
    const nlohmann::json seen = probe(work.path(), page_, dark);
    ASSERT_TRUE(seen.is_object() && seen.contains("paper")) << read_file(work / "log");
    EXPECT_EQ(seen["requests"], 0);
    EXPECT_EQ(seen["figures"], 5);
    EXPECT_GT(seen["text"].get<int>(), 40);
    EXPECT_LE(seen["overflow"].get<double>(), 0);
    EXPECT_EQ(seen["paper"].get<double>() < 0.05, dark) << seen;
    EXPECT_EQ(seen["paper"].get<double>() > 0.9, !dark) << seen;
    // WCAG AA for text
    EXPECT_GE(seen["worst_figure"].get<double>(), 4.5) << seen;
    EXPECT_GE(seen["worst_page"].get<double>(), 4.5) << seen;
  }
}

TEST(TrainReport, ShowsTheFiguresThatApply) {
  if (!program_exists("gnuplot")) GTEST_SKIP() << "gnuplot is not installed (package gnuplot-nox)";
  const TemporaryDirectory directory;
  test::write_train_study(directory.path(), 2);
  EXPECT_EQ(write_report(directory.path()).size(), 5U);
  const std::string page = read_file(directory / "report.html");
  EXPECT_THAT(page, HasSubstr("The held-out loss is"));
  EXPECT_THAT(page, Not(HasSubstr("quality.pdf")));
}

TEST(Report, DrawsConversionsOfEveryName) {
  if (!program_exists("gnuplot")) GTEST_SKIP() << "gnuplot is not installed (package gnuplot-nox)";
  const TemporaryDirectory directory;
  test::write_conversions_study(directory.path(),
                                {"mean", "mean_scaled similar", "aligned", "aligned_activations similar"});
  EXPECT_EQ(write_report(directory.path()).size(), 11U);
  const std::string page = read_file(directory / "report.html");
  for (const char* label : {"mean scaled similar", "aligned activations similar"}) {
    EXPECT_THAT(page, HasSubstr(fmt::format("<td>{}</td>", label)));
    for (const char* name : {"quality.svg", "alpha.svg", "training.svg"}) {
      const std::string svg = read_file(directory / name);
      EXPECT_THAT(svg, HasSubstr(fmt::format(">{}<", label))) << name;
      EXPECT_THAT(svg, HasSubstr("var(--aligned)")) << name;
    }
  }
  EXPECT_THAT(page, HasSubstr("scaled mean pooling in searched groups"));
}

TEST(Report, OfAStudyWithoutResultsNamesItsRuns) {
  if (!program_exists("gnuplot")) GTEST_SKIP() << "gnuplot is not installed (package gnuplot-nox)";
  const TemporaryDirectory directory;
  StudyIndex index{"a <b>", "gqa", "", {{"one", "1", RunRole::baseline, "one", RunState::waiting, {}, ""}}};
  std::filesystem::create_directories(directory / "one");
  write_file_atomically(directory / "one" / "run.h5", std::string_view("damaged"));
  write_study_index(directory.path(), index);
  EXPECT_EQ(write_report(directory.path()).size(), 1U);
  const std::string page = read_file(directory / "report.html");
  EXPECT_THAT(page, HasSubstr("a &lt;b&gt;"));
  EXPECT_THAT(page, HasSubstr("is not an HDF5 file"));
}

TEST(Report, SaysWhatIsMissing) {
  const TemporaryDirectory directory;
  expect_error(ExitCode::input, "holds no study.json", [&] { write_report(directory.path()); });
  test::write_train_study(directory.path(), 1);
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", directory.path().c_str(), 1);
  expect_error(ExitCode::unavailable, "install the package gnuplot-nox",
               [&] { write_report(directory.path()); });
  ::setenv("PATH", path.c_str(), 1);
}

}  // namespace
}  // namespace fovea
