#include "record/study_index.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "record/journal.h"
#include "record/provenance.h"
#include "record/run_file.h"

namespace fovea {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64 kFormatVersion = 1;

std::string text_of(const Json& object, const char* key, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end()) fail_input("{}: \"{}\" is missing", where, key);
  if (!found->is_string()) fail_input("{}: \"{}\" is no text", where, key);
  return found->get<std::string>();
}

/// A run's directory may be read and written; it must not lead out of the study's.
void check_directory(const std::string& directory, const std::string& where) {
  const std::filesystem::path path(directory);
  const bool climbs = std::any_of(path.begin(), path.end(), [](const auto& part) { return part == ".."; });
  if (directory.empty() || path.is_absolute() || climbs)
    fail_input("{}: the directory \"{}\" does not lie within the study's", where, directory);
}

StudyRun run_of(const Json& json, const std::string& where) {
  if (!json.is_object()) fail_input("{}: a run is no object", where);
  StudyRun run;
  run.name = text_of(json, "name", where);
  const std::string at = fmt::format("{}: run \"{}\"", where, run.name);
  run.identity = text_of(json, "identity", at);
  run.role = run_role_named(text_of(json, "role", at), at);
  run.directory = text_of(json, "directory", at);
  check_directory(run.directory, at);
  run.state = run_state_named(text_of(json, "state", at), at);
  run.error = text_of(json, "error", at);
  const auto depends = json.find("depends_on");
  if (depends == json.end() || !depends->is_array()) fail_input("{}: \"depends_on\" is no list", at);
  for (const Json& name : *depends) {
    if (!name.is_string()) fail_input("{}: \"depends_on\" holds what is no name", at);
    run.depends_on.push_back(name.get<std::string>());
  }
  return run;
}

/// None where the study was made before there were claims.
std::vector<ClaimFile> claims_of(const Json& json, const std::string& where) {
  std::vector<ClaimFile> files;
  const auto claims = json.find("claims");
  if (claims == json.end()) return files;
  if (!claims->is_array()) fail_input("{}: \"claims\" is no list", where);
  for (const Json& file : *claims) {
    if (!file.is_object()) fail_input("{}: \"claims\" holds what is no object", where);
    files.push_back({text_of(file, "name", where), text_of(file, "text", where)});
  }
  return files;
}

void check_names(const StudyIndex& index, const std::string& where) {
  std::set<std::string> names;
  for (const StudyRun& run : index.runs)
    if (!names.insert(run.name).second) fail_input("{}: two runs are named \"{}\"", where, run.name);
  for (const StudyRun& run : index.runs)
    for (const std::string& name : run.depends_on)
      if (!names.contains(name))
        fail_input("{}: run \"{}\" depends on \"{}\", which is not there", where, run.name, name);
}

/// What the table shows of one run.
struct Progress {
  RunState state = RunState::waiting;
  int64 step = 0, total_steps = 0;
  double loss = NAN, tokens_per_second = NAN;
  double seconds_left = NAN;
  std::string error;
};

constexpr double kSilentSeconds =
    120;  // an evaluation writes nothing; longer than that, somebody should look

Progress progress_of(const std::filesystem::path& directory, const StudyRun& run) {
  Progress p{run.state};
  p.error = run.error;
  const std::filesystem::path path = directory / run.directory / kJournalFileName;
  if (!std::filesystem::exists(path)) return p;
  const JournalContents journal = read_journal(path);
  if (journal.begins.empty()) return p;
  const JournalBegin& begin = journal.begins.back();
  p.step = journal.series.step.empty() ? 0 : journal.series.step.back();
  p.total_steps = begin.total_steps;
  if (journal.series.size() > 0) {
    p.loss = journal.series.train_loss.back();
    p.tokens_per_second = journal.series.tokens_per_second.back();
  }
  if (!journal.evaluations.empty() && journal.evaluations.back().step >= p.step)
    p.loss = journal.evaluations.back().loss;
  if (journal.end) {
    if (p.error.empty()) p.error = journal.end->error;
    if (p.state == RunState::running || p.state == RunState::waiting) p.state = journal.end->state;
  } else if (p.state == RunState::waiting) {
    p.state = RunState::running;
  }
  if (p.state != RunState::running) return p;
  // from the work done since this start: what an earlier one did says nothing of how fast this one is
  const int64 done = p.step - begin.step;
  if (done > 0)
    p.seconds_left = (journal.last_time - begin.time) / static_cast<double>(done) *
                     static_cast<double>(p.total_steps - p.step);
  const double silent = seconds_now() - journal.last_time;
  if (silent > kSilentSeconds) p.error = fmt::format("no sign of life for {:.0f} min", silent / 60);
  return p;
}

std::string duration(double seconds) {
  if (!std::isfinite(seconds)) return "";
  const auto s = static_cast<int64>(std::max(0.0, seconds + 0.5));
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{}:{:02} min", s / 60, s % 60);
  return fmt::format("{}:{:02} h", s / 3600, s / 60 % 60);
}

std::string scaled(double value) {
  if (!std::isfinite(value)) return "";
  if (value >= 1e6) return fmt::format("{:.1f} M", value / 1e6);
  if (value >= 1e3) return fmt::format("{:.1f} k", value / 1e3);
  return fmt::format("{:.0f}", value);
}

/// Columns padded to their widest cell: the first two to the left, numbers to the right.
std::string aligned(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> width;
  for (const auto& row : rows)
    for (size_t c = 0; c + 1 < row.size(); ++c) {
      width.resize(std::max(width.size(), c + 1));
      width[c] = std::max(width[c], row[c].size());
    }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      if (c > 0) line += "  ";
      if (c + 1 == row.size())
        line += row[c];
      else
        line += c < 2 ? fmt::format("{:<{}}", row[c], width[c]) : fmt::format("{:>{}}", row[c], width[c]);
    }
    line.resize(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace

void write_study_index(const std::filesystem::path& directory, const StudyIndex& index) {
  Json runs = Json::array();
  for (const StudyRun& run : index.runs)
    runs.push_back({{"name", run.name},
                    {"identity", run.identity},
                    {"role", name_of(run.role)},
                    {"directory", run.directory},
                    {"state", name_of(run.state)},
                    {"depends_on", run.depends_on},
                    {"error", run.error}});
  Json claims = Json::array();
  for (const ClaimFile& file : index.claims) claims.push_back({{"name", file.name}, {"text", file.text}});
  const Json json = {{"format", "fovea study"},
                     {"format_version", kFormatVersion},
                     {"name", index.name},
                     {"kind", index.kind},
                     {"config", index.config},
                     {"claims", claims},
                     {"runs", runs}};
  write_file_atomically(directory / kStudyFileName,
                        json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

StudyIndex read_study_index(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / kStudyFileName;
  if (!std::filesystem::exists(path))
    fail_input("{}: holds no {}; name the directory that a study was run in", directory.string(),
               kStudyFileName);
  const std::string where = path.string();
  const Json json = Json::parse(read_file(path), nullptr, false);
  if (!json.is_object()) fail_input("{}: is not a study's index (no JSON object)", where);
  if (text_of(json, "format", where) != "fovea study") fail_input("{}: is not a study's index", where);
  const auto version = json.find("format_version");
  if (version == json.end() || *version != kFormatVersion)
    fail_input("{}: \"format_version\" is not {}, the one that this program reads", where, kFormatVersion);
  StudyIndex index{text_of(json, "name", where),
                   text_of(json, "kind", where),
                   text_of(json, "config", where),
                   {},
                   claims_of(json, where)};
  const auto runs = json.find("runs");
  if (runs == json.end() || !runs->is_array()) fail_input("{}: \"runs\" is no list", where);
  for (const Json& run : *runs) index.runs.push_back(run_of(run, where));
  check_names(index, where);
  return index;
}

std::string status_table(const std::filesystem::path& directory) {
  const StudyIndex index = read_study_index(directory);
  std::vector<std::vector<std::string>> rows = {{"run", "state", "step", "loss", "tokens/s", "left", ""}};
  std::map<RunState, int64> counts;
  for (const StudyRun& run : index.runs) {
    const Progress p = progress_of(directory, run);
    ++counts[p.state];
    rows.push_back({run.name, std::string(name_of(p.state)),
                    p.total_steps > 0 ? fmt::format("{} / {}", p.step, p.total_steps) : "",
                    std::isfinite(p.loss) ? fmt::format("{:.4f}", p.loss) : "",
                    p.state == RunState::running ? scaled(p.tokens_per_second) : "", duration(p.seconds_left),
                    p.error});
  }
  std::string summary =
      fmt::format("{}: {} run{}", index.name, index.runs.size(), index.runs.size() == 1 ? "" : "s");
  for (const auto& [state, n] : counts) summary += fmt::format(", {} {}", n, name_of(state));
  return aligned(rows) + summary + "\n";
}

}  // namespace fovea
