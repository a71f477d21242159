// A run in a process of its own, for tests that stop it: run_child CONFIG DIRECTORY THREADS STOP_AFTER.
// It sends itself SIGTERM when STOP_AFTER steps are done (0: never; -N: when the evaluation after N steps
// begins), and exits as the program would.
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "config/load.h"
#include "core/error.h"
#include "core/file.h"
#include "job.h"
#include "train/stop_signal.h"

namespace {

// A study's process has planned other runs before, and keeps what it freed: no peak may hide in that. The
// last block stays, so that the heap does not shrink by itself.
void leave_freed_memory() {
  std::vector<std::string> blocks;
  for (int block = 0; block < 600; ++block) blocks.emplace_back(size_t{64} << 10, 'x');
  static std::string last;
  last = std::move(blocks.back());
}

int run(const char* file, const char* directory, int threads, fovea::int64 stop_after) {
  fovea::catch_stop_signals();
  leave_freed_memory();
  const fovea::Config config = fovea::config_from_text(fovea::read_file(file), file);
  const fovea::Dataset dataset = fovea::open_dataset(config.data, config.model.context);
  const auto progress = [stop_after](const fovea::RunProgress& now) {
    if (stop_after < 0 && now.evaluating && now.step == -stop_after) ::raise(SIGTERM);
    if (stop_after <= 0) return;
    if (now.step >= stop_after)
      ::raise(SIGTERM);
    else
      std::this_thread::sleep_for(std::chrono::milliseconds(220));  // so that the next step is reported too
  };
  const fovea::RunState state =
      fovea::execute_run(fovea::job_of(config, directory), dataset, threads, progress);
  return static_cast<int>(state == fovea::RunState::done ? fovea::ExitCode::done
                                                         : fovea::ExitCode::interrupted);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  try {
    return run(argv[1], argv[2], std::atoi(argv[3]), std::atoi(argv[4]));
  } catch (const fovea::UserError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.code());
  }
}
