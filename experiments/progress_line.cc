#include "experiments/progress_line.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "record/provenance.h"

namespace fovea {

std::string duration_text(double seconds) {
  const auto s = static_cast<int64>(std::llround(seconds));
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {:02} s", s / 60, s % 60);
  return fmt::format("{} h {:02} min", s / 3600, s / 60 % 60);
}

std::string bytes_text(int64 bytes) {
  if (bytes < 1024) return fmt::format("{} bytes", bytes);
  double value = static_cast<double>(bytes) / 1024;
  const char* unit = "KiB";
  // What would be printed as 1024.0 is the next unit's 1.
  for (const char* next : {"MiB", "GiB", "TiB"}) {
    if (value < 1023.95) break;
    value /= 1024;
    unit = next;
  }
  return fmt::format("{:.{}f} {}", value, *unit == 'K' || *unit == 'M' ? 1 : 2, unit);
}

std::string count_text(double count, const char* unit) {
  constexpr const char* kPrefixes[] = {"", "k", "M", "G", "T", "P"};
  const char* space = *unit ? " " : "";
  if (count < 1000 && count == std::floor(count)) return fmt::format("{:.0f}{}{}", count, space, unit);
  size_t prefix = 0;
  while (count >= 999.5 && prefix < 5) {  // what would be printed as 1000 is the next prefix's 1
    count /= 1000;
    ++prefix;
  }
  const int digits = count < 9.995 ? 2 : count < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f}{}{}{}", count, digits, space, kPrefixes[prefix], unit);
}

std::string progress_text(const RunProgress& p) {
  if (p.evaluating) return fmt::format("{} / {}  evaluating", p.step, p.total_steps);
  const std::string skipped = p.skipped > 0 ? fmt::format("{} skipped  ", p.skipped) : "";
  return fmt::format("{} / {}  loss {:.3f}  {}{} tok/s  {}  {}  {} left", p.step, p.total_steps, p.loss,
                     skipped, count_text(p.tokens_per_second), count_text(p.flops_per_second, "FLOP/s"),
                     bytes_text(p.resident_bytes), duration_text(p.seconds_left));
}

void clear_line() {
  std::fputs("\r\x1b[2K", stdout);
  std::fflush(stdout);
}

namespace {

// A line that wrapped could not be cleared.
std::string fitted(std::string line) {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || line.size() < size.ws_col)
    return line;
  size_t end = size.ws_col - 1;
  while (end > 0 && (line[end] & 0xC0) == 0x80) --end;  // no half of a UTF-8 letter
  line.resize(end);
  return line;
}

}  // namespace

void ProgressPrinter::operator()(const RunProgress& progress) {
  const double now = seconds_now();
  if (now - printed_ < (renew_ ? 0.2 : 10)) return;
  const bool first = printed_ == 0;
  printed_ = now;
  const std::string line = fmt::format("{}  {}", title_, progress_text(progress));
  if (renew_) {
    clear_line();
    std::fputs(fitted(line).c_str(), stdout);
  } else if (!first) {  // the first step's speed is no speed yet
    fmt::print("{}\n", line);
  }
  std::fflush(stdout);
}

}  // namespace fovea
