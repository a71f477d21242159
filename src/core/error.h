#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace fovea {

/// What the process says to its caller when it ends.
enum class ExitCode : int {
  done = 0,
  failed = 1,        ///< a run failed
  usage = 2,         ///< wrong command line or configuration
  input = 3,         ///< an input file is missing, unreadable or wrong
  unavailable = 4,   ///< a backend or device is not there, or cannot do this problem
  interrupted = 75,  ///< stopped by a signal; the same command resumes
};

/// A user's mistake: one line that says what, where and how to mend it. main() prints it and exits with
/// `code`.
class UserError : public std::runtime_error {
 public:
  UserError(ExitCode code, const std::string& line) : std::runtime_error(line), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

template <class... A>
[[noreturn]] void fail_usage(fmt::format_string<A...> format, A&&... a) {
  throw UserError(ExitCode::usage, fmt::format(format, std::forward<A>(a)...));
}
template <class... A>
[[noreturn]] void fail_input(fmt::format_string<A...> format, A&&... a) {
  throw UserError(ExitCode::input, fmt::format(format, std::forward<A>(a)...));
}
template <class... A>
[[noreturn]] void fail_unavailable(fmt::format_string<A...> format, A&&... a) {
  throw UserError(ExitCode::unavailable, fmt::format(format, std::forward<A>(a)...));
}
template <class... A>
[[noreturn]] void fail_run(fmt::format_string<A...> format, A&&... a) {
  throw UserError(ExitCode::failed, fmt::format(format, std::forward<A>(a)...));
}

[[noreturn]] void broken_invariant(const char* file, int line, const char* condition,
                                   const std::string& message);

/// A broken invariant is our mistake, never the user's: it prints the message and aborts, in release builds
/// too.
#define FOVEA_CHECK(condition, ...) \
  ((condition) ? void(0)            \
               : ::fovea::broken_invariant(__FILE__, __LINE__, #condition, ::fmt::format(__VA_ARGS__)))

}  // namespace fovea
