#include "record/foreign_hdf5.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <new>
#include <string>

#include "core/error.h"

namespace fovea::h5 {
namespace {

// How the process ends that is to come back.
enum : int { kRead = 0, kRefused = 40, kNoMemory = 41 };

void limit(decltype(RLIMIT_CPU) what, rlim_t most) {
  const rlimit both{most, most};
  setrlimit(what, &both);
}

// A megabyte of zeros is a kilobyte deflated, and is read into numbers eight times as wide.
void limit_memory(std::uintmax_t file_bytes) {
  rlim_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  constexpr rlim_t kSpare = rlim_t{512} << 20, kWidest = 16 * 1100;
  limit(RLIMIT_AS, pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + kSpare + kWidest * file_bytes);
}

[[noreturn]] void rehearse_and_leave(std::uintmax_t file_bytes, FunctionRef<void()> read, int answer) {
  constexpr std::uintmax_t kBytesPerSecond = 10'000'000;  // slower than any file is decompressed
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) std::signal(signal, SIG_DFL);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_CPU, 8 + file_bytes / kBytesPerSecond);
  limit_memory(file_bytes);
  // What is said of a heap in ruins is for nobody.
  if (const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC); nowhere >= 0) dup2(nowhere, STDERR_FILENO);
  try {
    read();
  } catch (const UserError& error) {
    const std::string line = static_cast<char>(error.code()) + std::string(error.what());
    _exit(write(answer, line.data(), line.size()) == static_cast<ssize_t>(line.size()) ? kRefused : 1);
  } catch (const std::bad_alloc&) {
    _exit(kNoMemory);
  } catch (const std::length_error&) {
    _exit(kNoMemory);
  }
  malloc_trim(0);  // walks over the heap
  _exit(kRead);
}

std::string all_of(int pipe) {
  std::string text;
  std::array<char, 4096> part;
  for (ssize_t n = 0; (n = read(pipe, part.data(), part.size())) != 0;) {
    if (n > 0)
      text.append(part.data(), static_cast<size_t>(n));
    else if (errno != EINTR)
      break;
  }
  return text;
}

}  // namespace

void rehearse(const std::filesystem::path& file, FunctionRef<void()> read) {
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(file, error);
  std::array<int, 2> ends;
  if (error || pipe2(ends.data(), O_CLOEXEC) != 0) return;  // who reads it says what is wrong
  const pid_t child = fork();
  if (child == 0) rehearse_and_leave(bytes, read, ends[1]);
  close(ends[1]);
  const std::string refusal = all_of(ends[0]);
  close(ends[0]);
  if (child < 0) return;
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  if (code == kRead) return;
  if (code == kRefused && refusal.size() > 1)
    throw UserError(static_cast<ExitCode>(refusal.front()), refusal.substr(1));
  if (code == kNoMemory) fail_input("{}: what it claims to hold does not fit into memory", file.string());
  fail_input("{}: HDF5's library breaks down while reading it: the file is damaged", file.string());
}

}  // namespace fovea::h5
