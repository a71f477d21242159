#include "core/device.h"

#include <cuda_runtime_api.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <mutex>
#include <unordered_map>

#include "core/cuda/check.h"
#include "core/error.h"

namespace fovea {

using cuda::check;

bool built_with_cuda() { return true; }

namespace {

constexpr int kOldestMajor = 8;  // compute capability: bf16, cp.async

/// What one process tells another of its search.
struct Answer {
  bool found = false;
  int major = 0, minor = 0, multiprocessors = 0;
  int64 memory_bytes = 0, shared_bytes = 0;
  std::array<char, 512> words{};  ///< the name, or why there is none

  void say(const std::string& text) { text.copy(words.data(), words.size() - 1); }
};

Answer search() {
  Answer answer;
  int count = 0;
  cudaDeviceProp properties{};
  cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) error = cudaGetDeviceProperties(&properties, 0);
  if (error == cudaErrorInsufficientDriver) {
    answer.say("no NVIDIA driver that this CUDA runtime knows was found (nvidia-smi shows the driver's)");
  } else if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0)) {
    answer.say("no NVIDIA GPU is visible (nvidia-smi lists them, CUDA_VISIBLE_DEVICES hides them)");
  } else if (error != cudaSuccess) {
    answer.say(fmt::format("CUDA says \"{}\"", cudaGetErrorString(error)));
  } else if (properties.major < kOldestMajor) {
    answer.say(fmt::format("{} has compute capability {}.{}, the kernels need {}.0 or later", properties.name,
                           properties.major, properties.minor, kOldestMajor));
  } else {
    answer = {true,
              properties.major,
              properties.minor,
              properties.multiProcessorCount,
              static_cast<int64>(properties.totalGlobalMem),
              static_cast<int64>(properties.sharedMemPerBlockOptin),
              {}};
    answer.say(properties.name);
  }
  return answer;
}

// CUDA cannot be used in the child of a process that has started it, and runs of a study are children: so who
// only asks asks in a child.
Answer search_apart() {
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return search();
  const pid_t child = ::fork();
  if (child == 0) {
    const Answer answer = search();
    ::_exit(::write(ends[1], &answer, sizeof answer) == sizeof answer ? 0 : 1);
  }
  ::close(ends[1]);
  Answer answer;
  ssize_t got = 0;
  while (child > 0 && (got = ::read(ends[0], &answer, sizeof answer)) < 0 && errno == EINTR) continue;
  ::close(ends[0]);
  while (child > 0 && ::waitpid(child, nullptr, 0) < 0 && errno == EINTR) continue;
  if (child < 0) return search();
  if (got == sizeof answer) return answer;
  Answer broken;
  broken.say("the process that looked for one broke down: nvidia-smi may say why");
  return broken;
}

DeviceSearch described(const Answer& answer) {
  if (!answer.found) return {std::nullopt, answer.words.data()};
  return {DeviceInfo{answer.words.data(), answer.major, answer.minor, answer.multiprocessors,
                     answer.memory_bytes, answer.shared_bytes},
          {}};
}

}  // namespace

const DeviceSearch& find_device() {
  static const DeviceSearch found = described(search_apart());
  return found;
}

const DeviceInfo& require_device() {
  const DeviceSearch& found = find_device();
  if (!found.device) fail_unavailable("no CUDA device: {}", found.why_not);
  return *found.device;
}

namespace device {
namespace {

// What is held, by address.
struct Held {
  std::mutex mutex;
  std::unordered_map<void*, int64> bytes_of;
  int64 now = 0, peak = 0;
};
Held& held() {
  static Held all;
  return all;
}

}  // namespace

int64 peak_bytes() {
  const std::lock_guard lock(held().mutex);
  return held().peak;
}

void reset_peak_bytes() {
  const std::lock_guard lock(held().mutex);
  held().peak = held().now;
}

int64 free_bytes() {
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return static_cast<int64>(free);
}

void* allocate(int64 bytes) {
  require_device();
  if (bytes == 0) return nullptr;
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, static_cast<size_t>(bytes));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // it is not sticky: nothing else fails for it
    fail_run(
        "{} B of device memory were asked for, {} B are free of {} B on {}; another process may hold it "
        "(nvidia-smi); train.fit = \"SIZE\" or a smaller train.grain needs less",
        bytes, free_bytes(), require_device().memory_bytes, require_device().name);
  }
  check(error, "cudaMalloc");
  {
    const std::lock_guard lock(held().mutex);
    held().bytes_of[memory] = bytes;
    held().now += bytes;
    held().peak = std::max(held().peak, held().now);
  }
  fill(memory, 0, bytes);
  return memory;
}

void free(void* memory) {
  {
    const std::lock_guard lock(held().mutex);
    if (const auto found = held().bytes_of.find(memory); found != held().bytes_of.end()) {
      held().now -= found->second;
      held().bytes_of.erase(found);
    }
  }
  // A destructor runs this, maybe after an error that was reported where it happened.
  static_cast<void>(cudaFree(memory));
}

void fill(void* memory, unsigned char byte, int64 bytes) {
  if (bytes == 0) return;
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize before a fill");
  check(cudaMemset(memory, byte, static_cast<size_t>(bytes)), "cudaMemset");
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize after a fill");
}

void copy(void* to, const void* from, int64 bytes) {
  if (bytes == 0) return;
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize before a copy");
  check(cudaMemcpy(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault), "cudaMemcpy");
}

}  // namespace device

namespace {
constexpr int64 kSlotBytes = 64, kSlots = 4096, kCounters = 4096;

cudaStream_t stream_of(void* handle) { return static_cast<cudaStream_t>(handle); }
}  // namespace

DeviceQueue::DeviceQueue() {
  require_device();
  cudaStream_t stream = nullptr;
  check(cudaStreamCreate(&stream), "cudaStreamCreate");
  handle_ = stream;
  check(cudaMallocHost(&slots_, static_cast<size_t>(kSlotBytes * kSlots)), "cudaMallocHost");
  constexpr size_t kCounterBytes = kCounters * sizeof(uint32);
  check(cudaMalloc(&counters_, kCounterBytes), "cudaMalloc");
  check(cudaMemsetAsync(counters_, 0, kCounterBytes, stream), "cudaMemsetAsync");
}

DeviceQueue::~DeviceQueue() {
  static_cast<void>(cudaStreamSynchronize(stream_of(handle_)));
  for (void* event : events_) static_cast<void>(cudaEventDestroy(static_cast<cudaEvent_t>(event)));
  static_cast<void>(cudaFree(counters_));
  static_cast<void>(cudaFreeHost(slots_));
  static_cast<void>(cudaStreamDestroy(stream_of(handle_)));
}

void DeviceQueue::copy(void* to, const void* from, int64 bytes) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, stream_of(handle_)),
        "cudaMemcpyAsync");
}

void DeviceQueue::fill(void* memory, unsigned char byte, int64 bytes) {
  if (bytes == 0) return;
  check(cudaMemsetAsync(memory, byte, static_cast<size_t>(bytes), stream_of(handle_)), "cudaMemsetAsync");
}

void DeviceQueue::synchronize() {
  check(cudaStreamSynchronize(stream_of(handle_)), "cudaStreamSynchronize");
  used_slots_ = 0;
}

void* DeviceQueue::readback_slot(int64 bytes) {
  FOVEA_CHECK(bytes <= kSlotBytes && used_slots_ < kSlots, "readback {} of {} bytes before a synchronisation",
              used_slots_, bytes);
  return static_cast<std::byte*>(slots_) + kSlotBytes * used_slots_++;
}

uint32* DeviceQueue::counters(int64 n) const {
  FOVEA_CHECK(n <= kCounters, "{} counters of {}", n, kCounters);
  return static_cast<uint32*>(counters_);
}

int DeviceQueue::mark() {
  if (marks_ == events_.size()) {
    cudaEvent_t event = nullptr;
    check(cudaEventCreate(&event), "cudaEventCreate");
    events_.push_back(event);
  }
  check(cudaEventRecord(static_cast<cudaEvent_t>(events_[marks_]), stream_of(handle_)), "cudaEventRecord");
  return static_cast<int>(marks_++);
}

double DeviceQueue::seconds_between(int first, int second) const {
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, static_cast<cudaEvent_t>(events_[static_cast<size_t>(first)]),
                             static_cast<cudaEvent_t>(events_[static_cast<size_t>(second)])),
        "cudaEventElapsedTime");
  return static_cast<double>(milliseconds) * 1e-3;
}

}  // namespace fovea
