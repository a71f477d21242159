// Of a build without a CUDA compiler: there is no device, and nothing that would need one is reached.

#include "core/device.h"
#include "core/error.h"

namespace fovea {
namespace {
[[noreturn]] void unreachable_without_cuda() {
  FOVEA_CHECK(false, "this build has no CUDA");
  __builtin_unreachable();
}
}  // namespace

bool built_with_cuda() { return false; }

const DeviceSearch& find_device() {
  static const DeviceSearch none{std::nullopt, "this build has no CUDA (nvcc was not found)"};
  return none;
}

const DeviceInfo& require_device() { fail_unavailable("no CUDA device: {}", find_device().why_not); }

namespace device {
void* allocate(int64) { unreachable_without_cuda(); }
void free(void*) { unreachable_without_cuda(); }
void fill(void*, unsigned char, int64) { unreachable_without_cuda(); }
void copy(void*, const void*, int64) { unreachable_without_cuda(); }
int64 free_bytes() { unreachable_without_cuda(); }
int64 peak_bytes() { return 0; }
void reset_peak_bytes() {}
}  // namespace device

DeviceQueue::DeviceQueue() { unreachable_without_cuda(); }
DeviceQueue::~DeviceQueue() = default;
void DeviceQueue::copy(void*, const void*, int64) {}
void DeviceQueue::fill(void*, unsigned char, int64) {}
void DeviceQueue::synchronize() {}
void* DeviceQueue::readback_slot(int64) { return nullptr; }
uint32* DeviceQueue::counters(int64) const { return nullptr; }
int DeviceQueue::mark() { return 0; }
double DeviceQueue::seconds_between(int, int) const { return 0; }

}  // namespace fovea
