#include "runtime/status.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "runtime/device.h"

namespace softgpu {

namespace {

cudaError_t device_state = cudaSuccess;
thread_local cudaError_t last = cudaSuccess;

int from_environment(const char* name, int otherwise) {
  const char* const text = std::getenv(name);
  return text != nullptr ? std::atoi(text) : otherwise;
}

cudaError_t code_of(const Fault& fault) {
  if (fault.kind == "misaligned") return cudaErrorMisalignedAddress;
  if (fault.kind == "unsupported") return cudaErrorNotSupported;
  if (fault.kind == "syntax") return cudaErrorInvalidPtx;
  if (fault.kind == "trap") return cudaErrorLaunchFailure;
  if (fault.kind == "out of memory") return cudaErrorMemoryAllocation;
  return cudaErrorIllegalAddress;
}

}  // namespace

const Device& device() {
  static const Device card = [] {
    Device made;
    made.count = from_environment("SOFTGPU_DEVICES", made.count);
    made.multiprocessors = from_environment("SOFTGPU_SMS", made.multiprocessors);
    made.shared_per_block_opt_in = from_environment("SOFTGPU_SHARED_KB", made.shared_per_block_opt_in >> 10)
                                   << 10;
    return made;
  }();
  return card;
}

std::recursive_mutex& runtime_mutex() {
  static auto& mutex = *new std::recursive_mutex;
  return mutex;
}

cudaError_t refuse(cudaError_t code, const std::string& why) {
  fmt::print(stderr, "softgpu: {}\n", why);
  return code;
}

void report(const Fault& fault) {
  fmt::print(stderr, "softgpu: fault: {}\n", fault.what());
  std::fflush(nullptr);
  const char* const wish = std::getenv("SOFTGPU_FAULT");
  if (wish == nullptr || std::string_view(wish) != "error") std::abort();
  device_state = code_of(fault);
}

cudaError_t device_error() { return device_state; }

cudaError_t remember(cudaError_t code) {
  if (code != cudaSuccess && code != cudaErrorNotReady) last = code;
  return code;
}

cudaError_t last_error(bool forget) {
  const cudaError_t code = device_state != cudaSuccess ? device_state : last;
  if (forget) last = cudaSuccess;
  return code;
}

}  // namespace softgpu
