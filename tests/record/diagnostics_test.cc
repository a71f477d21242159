// What the page says of inspections: every number is in their files.

#include "record/report/diagnostics.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <sstream>

#include "core/file.h"
#include "record/hdf5.h"
#include "record/report/report.h"
#include "record/run_file.h"
#include "record/study_index.h"
#include "synthetic.h"

namespace fovea {
namespace {

using test::TemporaryDirectory;
using testing::HasSubstr;
using testing::Not;

bool gnuplot_is_there() { return std::system("command -v gnuplot >/dev/null 2>&1") == 0; }

constexpr int64 kLayers = 3, kHeads = 4, kSeeds = 2;

/// A plain study of two scales of the scores, each of two seeds, all inspected.
void write_ablation(const std::filesystem::path& directory) {
  StudyIndex index{"Scale", "train", "[study]\n", {}};
  for (const double scale : {0.125, 1.0})
    for (int64 seed = 0; seed < kSeeds; ++seed) {
      RunRecord r = test::full_record();
      r.name = fmt::format("attention_scale={:g},seed={}", scale, seed);
      r.role = RunRole::train;
      r.error.clear();
      r.seed = seed;
      r.lineage = {"", "", "none", 0, kHeads, kHeads};
      r.attributes.push_back({"model.attention_scale", scale, "", "scale.toml"});
      r.attributes.push_back({"train.seed", seed, "", "scale.toml"});
      std::filesystem::create_directories(directory / r.name);
      write_run_file(directory / r.name / kRunFileName, r);
      Inspection i = test::synthetic_inspection(kLayers, kHeads,
                                                static_cast<uint64>(10 * scale) + static_cast<uint64>(seed));
      i.cosines.value_aligned[1] = std::nan("");
      write_inspection(directory / r.name / kInspectionFileName, i);
      index.runs.push_back({r.name, r.identity, r.role, r.name, RunState::done, {}, ""});
    }
  write_study_index(directory, index);
}

/// "run/inspect.h5:/attention/entropy[2,1]", "...:/loss", "...@name".
double number_at(const std::filesystem::path& directory, const std::string& place) {
  const size_t colon = place.find(':');
  const h5::Group root = h5::open_file(directory / place.substr(0, colon));
  std::string path = place.substr(colon + 1);
  if (const size_t at = path.find('@'); at != std::string::npos) {
    const AttributeValue value = root.any_attribute(path.substr(0, at), path.substr(at + 1));
    const auto* whole = std::get_if<int64>(&value);
    return whole ? static_cast<double>(*whole) : std::get<double>(value);
  }
  std::vector<int64> index;
  if (const size_t bracket = path.find('['); bracket != std::string::npos) {
    std::string numbers = path.substr(bracket + 1, path.size() - bracket - 2);
    std::replace(numbers.begin(), numbers.end(), ',', ' ');
    std::istringstream words(numbers);
    for (int64 n = 0; words >> n;) index.push_back(n);
    path = path.substr(0, bracket);
  }
  const h5::Array<double> array = root.read<double>(path);
  EXPECT_EQ(array.shape.size(), index.size()) << place;
  int64 at = 0;
  for (size_t axis = 0; axis < index.size(); ++axis) at = at * array.shape[axis] + index[axis];
  return array.values.at(static_cast<size_t>(at));
}

std::string attribute_of(const std::string& tag, const std::string& name) {
  const size_t at = tag.find(name + "=\"");
  if (at == std::string::npos) return "";
  const size_t begin = at + name.size() + 2;
  return tag.substr(begin, tag.find('"', begin) - begin);
}

/// Checks every number that inspections are behind; returns how many there are.
int check_numbers(const std::filesystem::path& directory, const std::string& page) {
  int checked = 0;
  for (size_t at = page.find("<data "); at != std::string::npos; at = page.find("<data ", at + 1)) {
    const size_t close = page.find('>', at);
    const std::string tag = page.substr(at, close - at);
    const std::string text = page.substr(close + 1, page.find('<', close) - close - 1);
    if (tag.find(kInspectionFileName) == std::string::npos) continue;
    EXPECT_EQ(attribute_of(tag, "data-how"), "mean");
    std::string places = attribute_of(tag, "data-h5");
    std::istringstream words(places);
    double sum = 0;
    int n = 0;
    for (std::string place; words >> place; ++n) sum += number_at(directory, place);
    const double value = sum / n / std::stod(attribute_of(tag, "data-scale"));
    const size_t point = text.find('.');
    const double decimals = point == std::string::npos ? 0 : static_cast<double>(text.size() - point - 1);
    EXPECT_NEAR(std::stod(text), value, 0.5001 * std::pow(10, -decimals)) << tag;
    EXPECT_NEAR(std::stod(attribute_of(tag, "value")), value, 1e-9 * std::max(1.0, std::abs(value)));
    ++checked;
  }
  return checked;
}

void erase_between(std::string& text, const std::string& begin, const std::string& end) {
  for (size_t at = text.find(begin); at != std::string::npos; at = text.find(begin, at))
    text.erase(at, text.find(end, at) + end.size() - at);
}

class AblationReport : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!gnuplot_is_there()) return;
    directory_ = new TemporaryDirectory;
    write_ablation(directory_->path());
    write_report(directory_->path());
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
  static inline std::string page_;
};

TEST_F(AblationReport, EveryNumberIsInTheFiles) {
  // of the tables: scores (two groups, two states, a layer a row, with its number), heads, cosines
  const int scores = 2 * 2 * kLayers * 7, heads = 2 * kLayers * kHeads * 9, cosines = kLayers * 5;
  EXPECT_GE(check_numbers(directory_->path(), page_), scores + heads + cosines);
}

TEST_F(AblationReport, NoNumberStandsWithoutItsSource) {
  std::string page = page_;
  for (const auto& [begin, end] : {std::pair("<data ", "</data>"),
                                   {"<span data-h5", "</span>"},
                                   {"<style", "</style>"},
                                   {"<svg", "</svg>"},
                                   {"<pre class=text", "</pre>"},
                                   {"<h1 class=text", "</h1>"},
                                   {"<title", "</title>"},
                                   {"<", ">"},
                                   {"95&nbsp;%", " "},
                                   {"&#", ";"}})
    erase_between(page, begin, end);
  const size_t digit = page.find_first_of("0123456789");
  EXPECT_EQ(digit, std::string::npos) << page.substr(digit > 40 ? digit - 40 : 0, 80);
}

TEST_F(AblationReport, TellsGroupsByTheKeyInWhichTheyDiffer) {
  std::string words = page_;
  erase_between(words, "<svg", "</svg>");
  erase_between(words, "<", ">");
  EXPECT_THAT(words, HasSubstr("attention_scale = 0.125: as drawn, "));
  EXPECT_THAT(words, HasSubstr("attention_scale = 1: as drawn, "));
  EXPECT_THAT(words, Not(HasSubstr("seed = ")));
}

TEST_F(AblationReport, HasItsFigures) {
  for (const char* name : {"scores", "heads", "cosines"}) {
    EXPECT_THAT(page_, HasSubstr(std::string("href=\"") + name + ".pdf\""));
    EXPECT_TRUE(read_file(*directory_ / (std::string(name) + ".svg")).starts_with("<svg ")) << name;
  }
  EXPECT_THAT(page_, Not(HasSubstr("rgb("))) << "every colour follows the page from light to dark";
  EXPECT_THAT(page_, Not(HasSubstr(">nan<")));
}

TEST(InspectedGroups, AreSampledByLayerWithoutWhatIsNoNumber) {
  const TemporaryDirectory directory;
  write_ablation(directory.path());
  const report::Study study = report::load_study(directory.path());
  const std::vector<report::Inspected> groups = report::inspected_groups(study);
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].runs.size(), 2U);
  EXPECT_EQ(groups[1].name, "attention_scale = 1");
  const report::Statistic saturated = report::head_statistic(&HeadStatistics::saturated);
  EXPECT_EQ(report::layer_sample(groups[0], saturated, 1).size(), static_cast<size_t>(kSeeds * kHeads));
  EXPECT_EQ(report::whole_sample(groups[0], saturated).size(),
            static_cast<size_t>(kSeeds * kHeads * kLayers));
  const report::Statistic aligned = report::cosine_statistic(&GroupCosines::value_aligned);
  EXPECT_EQ(report::layer_sample(groups[0], aligned, 0).size(), 2U) << "one of two groups is no number";
  EXPECT_EQ(report::layer_sample(groups[0], aligned, 1).size(), 4U);
  const report::Datum datum = report::datum_of(*groups[1].runs[1], saturated, 2, 3);
  EXPECT_EQ(datum.h5, "attention_scale=1,seed=1/inspect.h5:/attention/saturated[2,3]");
  EXPECT_EQ(datum.value, groups[1].runs[1]->inspection->trained.heads.saturated[11]);
}

TEST(GqaDiagnostics, ShowHeadsAndCosinesOfWhatWasInspected) {
  if (!gnuplot_is_there()) GTEST_SKIP() << "gnuplot is not installed (package gnuplot-nox)";
  const TemporaryDirectory directory;
  test::write_gqa_study(directory.path(), 1);
  write_report(directory.path());
  EXPECT_THAT(read_file(directory / "report.html"), Not(HasSubstr("heads.pdf")));
  write_inspection(directory / "baseline-g8-none-a0-s0" / kInspectionFileName,
                   test::synthetic_inspection(4, 8, 3));
  write_report(directory.path());
  std::string page = read_file(directory / "report.html");
  EXPECT_GE(check_numbers(directory.path(), page), 4 * 8 * 9 + 4 * 5);
  for (const char* name : {"heads", "cosines"})
    EXPECT_THAT(page, HasSubstr(std::string("href=\"") + name + ".pdf\""));
  EXPECT_THAT(page, Not(HasSubstr("scores.pdf")));

  // Of what was uptrained, the runs with the fewest heads and the largest alpha are shown.
  for (const char* run :
       {"uptrained-g4-mean-a0.1-s0", "uptrained-g1-mean-a0.01-s0", "uptrained-g1-mean-a0.1-s0"})
    write_inspection(directory / run / kInspectionFileName, test::synthetic_inspection(4, 8, 4));
  write_report(directory.path());
  const std::string svg = read_file(directory / "heads.svg");
  EXPECT_THAT(svg, HasSubstr("MHA baseline"));
  EXPECT_THAT(svg, HasSubstr("mean, G = 1, α = 0.1<"));
  EXPECT_THAT(svg, Not(HasSubstr("α = 0.01")));
  EXPECT_THAT(svg, Not(HasSubstr("G = 4")));

  write_file_atomically(directory / "baseline-g8-none-a0-s0" / kInspectionFileName,
                        std::string_view("damaged"));
  write_report(directory.path());
  page = read_file(directory / "report.html");
  EXPECT_THAT(page, HasSubstr("inspect.h5: is not an HDF5 file"));
}

}  // namespace
}  // namespace fovea
