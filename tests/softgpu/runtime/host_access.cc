#include "runtime/host_access.h"

#include <unistd.h>
#include <csignal>
#include <cstring>

#include "memory/global_memory.h"

namespace softgpu {

namespace {

struct sigaction previous;

void on_segmentation_fault(int /*signal*/, siginfo_t* info, void* /*context*/) {
  if (global_memory().contains(reinterpret_cast<uint64_t>(info->si_addr))) {
    static constexpr char text[] =
        "softgpu: fault: host access: host code read or wrote through a device pointer (cudaMemcpy copies)\n";
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) return;
  }
  // The access happens again on return, and meets who was there before.
  sigaction(SIGSEGV, &previous, nullptr);
}

}  // namespace

void watch_host_accesses() {
  static const bool once = [] {
    global_memory();
    struct sigaction action {};
    action.sa_sigaction = on_segmentation_fault;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, &previous);
    return true;
  }();
  static_cast<void>(once);
}

}  // namespace softgpu
