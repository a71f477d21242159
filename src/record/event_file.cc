#include "record/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "record/provenance.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "events.out.tfevents.";  // TensorBoard looks for "tfevents"

// CRC-32C (Castagnoli), bits reversed, a byte at a time.
constexpr std::array<uint32, 256> kCrcTable = [] {
  std::array<uint32, 256> table{};
  for (uint32 byte = 0; byte < 256; ++byte) {
    uint32 crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0u);
    table[byte] = crc;
  }
  return table;
}();

// As TFRecords keep it: rotated and shifted, so that a checksum over checksums stays a good one.
uint32 masked_crc(std::string_view data) {
  uint32 crc = ~0u;
  for (const char c : data) crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return std::rotr(~crc, 15) + 0xa282ead8u;
}

// What protocol buffers put on the wire: fields of a number and a kind.
template <class T>
std::string fixed(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};  // little-endian, as this machine
}
std::string varint(uint64 value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}
enum Kind : uint64 { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
std::string key(uint64 number, Kind kind) { return varint(number << 3 | kind); }
std::string field(uint64 number, double value) { return key(number, kFixed64) + fixed(value); }
std::string field(uint64 number, float value) { return key(number, kFixed32) + fixed(value); }
std::string field(uint64 number, int64 value) {
  return key(number, kVarint) + varint(static_cast<uint64>(value));
}
std::string field(uint64 number, std::string_view value) {
  return key(number, kBytes) + varint(value.size()) + std::string(value);
}

std::string record(const std::string& data) {
  const std::string length = fixed(uint64{data.size()});
  return length + fixed(masked_crc(length)) + data + fixed(masked_crc(data));
}

// Event: wall_time = 1, step = 2, file_version = 3, summary = 5, session_log = 7.
std::string event(double time, int64 step, const std::string& what) {
  return record(field(1, time) + field(2, step) + what);
}
std::string file_version(double time) {
  return record(field(1, time) + field(3, std::string_view("brain.Event:2")));
}
// SessionLog: status = 1, of which 1 is START. What was read of this step and later is forgotten.
std::string session_start(double time) { return event(time, 0, field(7, field(1, int64{1}))); }

// Summary: value = 1. Value: tag = 1, simple_value = 2.
std::string scalar(std::string_view tag, double value) {
  return field(1, field(1, tag) + field(2, static_cast<float>(value)));
}

std::string event_of(const JournalStep& s) {
  return event(s.time, s.step,
               field(5, scalar("train/loss", s.train_loss) + scalar("train/lr", s.lr) +
                            scalar("train/grad_norm", s.grad_norm) +
                            scalar("speed/tokens_per_second", s.tokens_per_second)));
}

std::string event_of(const Evaluation& e, double time) {
  std::string values = scalar("evaluate/loss", e.loss);
  if (e.bits_per_byte) values += scalar("evaluate/bits_per_byte", *e.bits_per_byte);
  return event(time, e.step, field(5, values));
}

// In the order of steps, an evaluation behind the step that it follows.
std::string events_of(const JournalContents& journal) {
  const StepSeries& s = journal.series;
  std::string events;
  size_t evaluation = 0;
  const auto evaluations_before = [&](int64 step) {
    for (; evaluation < journal.evaluations.size() && journal.evaluations[evaluation].step < step;
         ++evaluation)
      events += event_of(journal.evaluations[evaluation], journal.evaluation_times[evaluation]);
  };
  for (size_t i = 0; i < s.size(); ++i) {
    evaluations_before(s.step[i]);
    events += event_of(JournalStep{s.step[i], s.tokens[i], s.train_loss[i], s.lr[i], s.grad_norm[i],
                                   s.tokens_per_second[i], s.flops_per_second[i], journal.step_times[i]});
  }
  evaluations_before(s.size() ? s.step.back() + 1 : 1);
  return events;
}

void remove_earlier(const fs::path& directory) {
  for (const auto& entry : fs::directory_iterator(directory))
    if (entry.path().filename().string().starts_with(kPrefix)) fs::remove(entry.path());
}

}  // namespace

EventFile EventFile::create(const fs::path& directory, const JournalContents& journal) {
  const double now = seconds_now();
  try {
    fs::create_directories(directory);
    remove_earlier(directory);
  } catch (const fs::filesystem_error& error) {
    fail_run("{}: TensorBoard's files cannot be replaced: {}", directory.string(), error.code().message());
  }
  // A later file sorts behind an earlier one, which is the order in which TensorBoard reads them.
  const fs::path path = directory / fmt::format("{}{:010.0f}.fovea.{}", kPrefix, std::floor(now), ::getpid());
  const std::string text = file_version(now) + session_start(now) + events_of(journal);
  write_file_atomically(path, text);
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (fd < 0) fail_run("{}: cannot be opened for writing: {}", path.string(), std::strerror(errno));
  EventFile file(path, fd);
  file.size_ = static_cast<int64>(text.size());
  return file;
}

EventFile::EventFile(fs::path path, int fd) : path_(std::move(path)), fd_(fd) {}

EventFile::EventFile(EventFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}

EventFile& EventFile::operator=(EventFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(size_, other.size_);
  return *this;
}

EventFile::~EventFile() {
  if (fd_ >= 0) ::close(fd_);
}

void EventFile::append(const JournalStep& step) { write(event_of(step)); }
void EventFile::append(const Evaluation& evaluation, double time) { write(event_of(evaluation, time)); }

void EventFile::write(const std::string& records) {
  ssize_t n = 0;
  do {
    n = ::write(fd_, records.data(), records.size());
  } while (n < 0 && errno == EINTR);
  if (n == static_cast<ssize_t>(records.size())) {
    size_ += n;
    return;
  }
  const std::string reason = n < 0 ? std::strerror(errno) : "the disk is full";
  if (::ftruncate(fd_, size_) != 0)
    fail_run("{}: is damaged, and cannot be mended: {}", path_.string(), reason);
  fail_run("{}: cannot be written: {}", path_.string(), reason);
}

}  // namespace fovea
