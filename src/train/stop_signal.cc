#include "train/stop_signal.h"

#include <csignal>
#include <ctime>
#include <initializer_list>

namespace fovea {
namespace {

sigset_t signals_of(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

}  // namespace

// Blocked and asked for, never handled: oneDNN's f32 products (2.6.3) keep data where the system puts a
// handler's frame, and a handler that runs in one damages the heap (docs/lab-notes.md).
void catch_stop_signals() {
  const sigset_t stop = signals_of({SIGINT, SIGTERM, SIGUSR1});
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);
}

bool stop_requested() {
  static bool requested = false;
  const sigset_t stop = signals_of({SIGINT, SIGTERM, SIGUSR1}), interrupt = signals_of({SIGINT});
  const timespec at_once{};
  const int signal = requested ? 0 : sigtimedwait(&stop, nullptr, &at_once);
  if (signal == SIGINT) pthread_sigmask(SIG_UNBLOCK, &interrupt, nullptr);  // the second one ends it
  requested = requested || signal > 0;
  return requested;
}

}  // namespace fovea
