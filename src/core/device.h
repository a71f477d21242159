#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/types.h"

namespace fovea {

/// The accelerator of this process: CUDA's first device (CUDA_VISIBLE_DEVICES says which that is).
struct DeviceInfo {
  std::string name;
  int major = 0, minor = 0;  ///< compute capability
  int multiprocessors = 0;
  int64 memory_bytes = 0;
  int64 shared_bytes = 0;  ///< of shared memory that a block can ask for
};

/// Whether this build has kernels for an accelerator.
bool built_with_cuda();

/// What was found, or why there is none. Asked once.
struct DeviceSearch {
  std::optional<DeviceInfo> device;
  std::string why_not;
};
const DeviceSearch& find_device();
/// Throws UserError (unavailable) with what was looked for where there is none.
const DeviceInfo& require_device();

/// Memory of the device, which the host cannot read. These wait for everything that was enqueued before.
namespace device {
/// Zeroed. Throws UserError (failed) with what was asked for and what was free.
void* allocate(int64 bytes);
void free(void* memory);
void fill(void* memory, unsigned char byte, int64 bytes);
/// Between device and host, or within either.
void copy(void* to, const void* from, int64 bytes);
int64 free_bytes();
/// The most that this process held at once since the peak was reset.
int64 peak_bytes();
void reset_peak_bytes();
}  // namespace device

/// Operations of the device in order: a CUDA stream. Nothing waits but synchronize().
class DeviceQueue {
 public:
  DeviceQueue();
  ~DeviceQueue();
  DeviceQueue(const DeviceQueue&) = delete;
  DeviceQueue& operator=(const DeviceQueue&) = delete;

  void* handle() const { return handle_; }  ///< a cudaStream_t
  /// Host memory that is read here may be changed on return; what is written is there after synchronize(),
  /// and at once where it is ordinary memory.
  void copy(void* to, const void* from, int64 bytes);
  void fill(void* memory, unsigned char byte, int64 bytes);
  void synchronize();

  /// Host memory that the device writes to without anybody waiting; `bytes` at most 64, the same again after
  /// synchronize().
  void* readback_slot(int64 bytes);

  /// n counters of the device with which blocks of a launch count each other. They are 0 between operations:
  /// whoever counts leaves them so.
  uint32* counters(int64 n) const;

  /// A point in time between two operations; seconds_between() after synchronize(), which frees all marks.
  int mark();
  double seconds_between(int first, int second) const;
  void forget_marks() { marks_ = 0; }

 private:
  void* handle_ = nullptr;
  [[maybe_unused]] void* slots_ = nullptr;  // pinned
  [[maybe_unused]] void* counters_ = nullptr;
  [[maybe_unused]] int64 used_slots_ = 0;
  std::vector<void*> events_;
  size_t marks_ = 0;
};

}  // namespace fovea
