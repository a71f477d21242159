#include "kernels/bench/options.h"

#include <charconv>
#include <string_view>

#include "core/error.h"

namespace fovea {
namespace {

int threads_of(std::string_view text) {
  int threads = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), threads);
  if (error != std::errc() || end != text.data() + text.size() || threads < 1 || threads > 4096)
    fail_usage("--threads={} is no number from 1 to 4096", text);
  return threads;
}

}  // namespace

BenchOptions take_options(int& argc, char** argv) {
  constexpr std::string_view kThreads = "--threads=", kSet = "--instruction-set=";
  BenchOptions options;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with(kThreads))
      options.threads = threads_of(argument.substr(kThreads.size()));
    else if (argument.starts_with(kSet))
      options.instruction_set = argument.substr(kSet.size());
    else if (argument == "--lines")
      options.lines = true;
    else if (!argument.starts_with("-"))
      options.names.emplace_back(argument);
    else
      argv[kept++] = argv[i];
  }
  argc = kept;
  return options;
}

}  // namespace fovea
