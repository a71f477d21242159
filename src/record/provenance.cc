#include "record/provenance.h"

#include <fmt/chrono.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <ctime>
#include <fstream>
#include <thread>

#include "core/build_info.h"
#include "record/build_flags.h"

namespace fovea {
namespace {

/// The value of "key : value" in one of /proc's files; empty when it is not there.
std::string proc_value(const char* file, std::string_view key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

int64 proc_bytes(const char* file, std::string_view key) {
  const std::string value = proc_value(file, key);  // "1234 kB"
  return value.empty() ? 0 : std::strtoll(value.c_str(), nullptr, 10) * 1024;
}

std::string widest_instruction_set() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512bf16")) return "avx512bf16";
  if (__builtin_cpu_supports("avx512f")) return "avx512f";
  if (__builtin_cpu_supports("avx2")) return "avx2";
  if (__builtin_cpu_supports("avx")) return "avx";
  return "sse2";
#elif defined(__aarch64__)
  return "neon";
#else
  return "unknown";
#endif
}

std::string joined(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) {
    if (!line.empty()) line += ' ';
    const bool plain = !word.empty() && word.find_first_of(" \t\n\"'$\\*?[]") == std::string::npos;
    line += plain ? word : fmt::format("'{}'", word);
  }
  return line;
}

}  // namespace

Provenance collect_provenance(int64 threads, std::string backend, const std::vector<std::string>& command) {
  const BuildInfo& build = build_info();
  Provenance p;
  p.version = build.version;
  p.commit = build.commit;
  p.dirty = build.dirty;
  p.compiler = build.compiler;
  p.flags = FOVEA_BUILD_FLAGS;
  p.host = host_name();
  p.cpu = proc_value("/proc/cpuinfo", "model name");
  if (p.cpu.empty()) p.cpu = "unknown";
  p.instruction_set = widest_instruction_set();
  p.cores = std::thread::hardware_concurrency();
  p.memory_bytes = proc_bytes("/proc/meminfo", "MemTotal");
  p.threads = threads;
  p.backend = std::move(backend);
  p.started = utc_now();
  p.command = joined(command);
  return p;
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

std::string utc_now() { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))); }

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

int64 peak_resident_bytes() { return proc_bytes("/proc/self/status", "VmHWM"); }
int64 resident_bytes() { return proc_bytes("/proc/self/status", "VmRSS"); }
void reset_peak_resident_bytes() { std::ofstream("/proc/self/clear_refs") << "5"; }

}  // namespace fovea
