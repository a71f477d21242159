#include "record/journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "record/provenance.h"

namespace fovea {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kSyncSeconds = 1;

/// JSON has no NaN or infinity; the loss of a run that broke is kept as a word.
Json number(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

struct Line {
  const Json& json;
  std::string where;  // "journal.jsonl:12"

  const Json& field(const char* key) const {
    const auto found = json.find(key);
    if (found == json.end()) fail_input("{}: \"{}\" is missing", where, key);
    return *found;
  }
  double real(const char* key) const {
    const Json& value = field(key);
    if (value.is_number()) return value.get<double>();
    if (value == "nan") return std::numeric_limits<double>::quiet_NaN();
    if (value == "inf") return std::numeric_limits<double>::infinity();
    if (value == "-inf") return -std::numeric_limits<double>::infinity();
    fail_input("{}: \"{}\" is no number", where, key);
  }
  int64 integer(const char* key) const {
    const Json& value = field(key);
    const bool fits = value.is_number_integer() &&
                      !(value.is_number_unsigned() &&
                        value.get<uint64>() > static_cast<uint64>(std::numeric_limits<int64>::max()));
    if (!fits || value.get<int64>() < 0) fail_input("{}: \"{}\" is no count", where, key);
    return value.get<int64>();
  }
  std::string text(const char* key) const {
    const Json& value = field(key);
    if (!value.is_string()) fail_input("{}: \"{}\" is no text", where, key);
    return value.get<std::string>();
  }
};

void read_begin(const Line& line, JournalContents& into) {
  into.begins.push_back({line.text("name"), line.text("identity"), line.integer("step"),
                         line.integer("total_steps"), line.integer("total_tokens"), line.real("time")});
  into.end.reset();
  into.last_time = into.begins.back().time;
}

void read_step(const Line& line, JournalContents& into) {
  StepSeries& series = into.series;
  const int64 step = line.integer("step");
  if (!series.step.empty() && step <= series.step.back())
    fail_input("{}: step {} stands after step {}", line.where, step, series.step.back());
  series.step.push_back(step);
  series.tokens.push_back(line.integer("tokens"));
  series.train_loss.push_back(line.real("train_loss"));
  series.lr.push_back(line.real("lr"));
  series.grad_norm.push_back(line.real("grad_norm"));
  series.tokens_per_second.push_back(line.real("tokens_per_second"));
  series.flops_per_second.push_back(line.real("flops_per_second"));
  if (line.json.contains("skipped")) series.skipped.push_back(step);
  into.last_time = line.real("time");
  into.step_times.push_back(into.last_time);
}

void read_evaluation(const Line& line, JournalContents& into) {
  Evaluation evaluation{line.integer("step"), line.real("loss"), std::nullopt};
  if (line.json.contains("bits_per_byte")) evaluation.bits_per_byte = line.real("bits_per_byte");
  if (!into.evaluations.empty() && evaluation.step < into.evaluations.back().step)
    fail_input("{}: the evaluation goes back to step {}", line.where, evaluation.step);
  into.evaluations.push_back(evaluation);
  into.evaluation_times.push_back(into.last_time);
}

void read_end(const Line& line, JournalContents& into) {
  into.end =
      JournalEnd{run_state_named(line.text("state"), line.where), line.text("error"), line.real("time")};
  into.last_time = into.end->time;
}

void read_line(const std::string& text, const std::string& where, JournalContents& into) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || json.empty()) fail_input("{}: is not a line of a journal", where);
  const Line line{json, where};
  const std::string event = line.text("event");
  if (event == "begin") return read_begin(line, into);
  if (event == "step") return read_step(line, into);
  if (event == "evaluation") return read_evaluation(line, into);
  if (event == "end") return read_end(line, into);
  fail_input("{}: \"{}\" is no event of a journal", where, event);
}

/// Whole lines only: what stands after the last newline was being written when the power went, or is.
template <class Each>
void for_each_line(const std::filesystem::path& path, Each each) {
  const std::string text = read_file(path);
  int64 number = 0;
  for (size_t begin = 0;;) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    each(text.substr(begin, end - begin), fmt::format("{}:{}", path.string(), ++number));
    begin = end + 1;
  }
}

}  // namespace

JournalContents read_journal(const std::filesystem::path& path) {
  JournalContents contents;
  for_each_line(path,
                [&](const std::string& text, const std::string& where) { read_line(text, where, contents); });
  return contents;
}

void truncate_journal_to_step(const std::filesystem::path& path, int64 step) {
  std::string kept;
  for_each_line(path, [&](const std::string& text, const std::string& where) {
    JournalContents one;
    read_line(text, where, one);
    const bool later = (one.series.size() > 0 && one.series.step[0] > step) ||
                       (!one.evaluations.empty() && one.evaluations[0].step > step);
    if (!later && !one.end) kept += text + "\n";
  });
  write_file_atomically(path, kept);
}

Journal::Journal(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}

Journal::Journal(Journal&& other) noexcept { *this = std::move(other); }

Journal& Journal::operator=(Journal&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(pending_, other.pending_);
  std::swap(problem_, other.problem_);
  std::swap(synced_, other.synced_);
  return *this;
}

Journal::~Journal() {
  if (fd_ >= 0) ::close(fd_);
}

Journal Journal::create(const std::filesystem::path& path) {
  write_file_atomically(path, std::string_view());
  return resume(path, 0);
}

Journal Journal::resume(const std::filesystem::path& path, int64 step) {
  if (step == 0 && !std::filesystem::exists(path)) return create(path);
  truncate_journal_to_step(path, step);
  const JournalContents contents = read_journal(path);
  const int64 last = contents.series.step.empty() ? 0 : contents.series.step.back();
  if (last != step || static_cast<int64>(contents.series.size()) != step)
    fail_input(
        "{}: holds {} steps up to {}, but the checkpoint stands at step {}; remove the run's directory to "
        "start it again",
        path.string(), contents.series.size(), last, step);
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (fd < 0) fail_to_write(path, errno);
  return Journal(path, fd);
}

void Journal::write_line(const std::string& line) {
  pending_ += line + "\n";
  write_pending();
}

// A part of a line that the disk took stays, and the rest follows it later.
bool Journal::write_pending() {
  problem_ = 0;
  while (!pending_.empty()) {
    const ssize_t n = ::write(fd_, pending_.data(), pending_.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) problem_ = n < 0 ? errno : ENOSPC;
    if (n <= 0) return false;
    pending_.erase(0, static_cast<size_t>(n));
  }
  return true;
}

std::string Journal::waits_for() const {
  return pending_.empty() ? "" : fmt::format("{}: {}", path_.string(), std::strerror(problem_));
}

void Journal::append(const JournalBegin& b) {
  write_line(Json{{"event", "begin"},
                  {"name", b.name},
                  {"identity", b.identity},
                  {"step", b.step},
                  {"total_steps", b.total_steps},
                  {"total_tokens", b.total_tokens},
                  {"time", number(b.time)}}
                 .dump());
}

void Journal::append(const JournalStep& s) {
  Json line{{"event", "step"},
            {"step", s.step},
            {"tokens", s.tokens},
            {"train_loss", number(s.train_loss)},
            {"lr", number(s.lr)},
            {"grad_norm", number(s.grad_norm)},
            {"tokens_per_second", number(s.tokens_per_second)},
            {"flops_per_second", number(s.flops_per_second)},
            {"time", number(s.time)}};
  if (s.skipped) line["skipped"] = true;
  write_line(line.dump());
  if (pending_.empty() && seconds_now() - synced_ >= kSyncSeconds) sync();
}

void Journal::append(const Evaluation& e) {
  Json line{{"event", "evaluation"}, {"step", e.step}, {"loss", number(e.loss)}};
  if (e.bits_per_byte) line["bits_per_byte"] = number(*e.bits_per_byte);
  write_line(line.dump());
}

void Journal::append(const JournalEnd& e) {
  // an error message may quote bytes of a user's file that are no UTF-8
  write_line(
      Json{{"event", "end"}, {"state", name_of(e.state)}, {"error", e.error}, {"time", number(e.time)}}.dump(
          -1, ' ', false, Json::error_handler_t::replace));
}

void Journal::sync() {
  if (!write_pending()) fail_to_write(path_, problem_);
  if (::fdatasync(fd_) != 0) fail_to_write(path_, errno);
  synced_ = seconds_now();
}

}  // namespace fovea
