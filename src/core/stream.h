#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/buffer.h"
#include "core/device.h"
#include "core/thread_pool.h"

namespace fovea {

/// Which implementations a stream runs. `reference` is fp64 throughout, whatever the storage; `naive` is the
/// cpu backend with attention materialised and unfused; `cuda` runs on the device; `cudnn` is the cuda
/// backend with attention by cuDNN.
enum class Backend { reference, naive, cpu, cuda, cudnn };
std::string_view name_of(Backend backend);
/// Throws UserError: usage with the choices, or unavailable where this build lacks it. "auto" is the fastest
/// there is: cuda where a device is found, else cpu.
Backend backend_named(std::string_view name);
/// Where the operands of its operations lie.
constexpr Device device_of(Backend backend) {
  return backend == Backend::cuda || backend == Backend::cudnn ? Device::cuda : Device::cpu;
}

/// What one operation is going to cost; known from shapes alone.
struct Work {
  std::string_view name;    ///< a string literal: "rms_norm"
  double flops = 0;         ///< useful ones: visible pairs only
  int64 scratch_bytes = 0;  ///< temporary memory while it runs: the sum of scratch_size() of its pieces
  int64 bytes = 0;  ///< of its operands, each read once and each written once: what must move at least
  DType dtype = DType::f32;  ///< in which products are taken: says which limit of the machine holds
};

/// What the calls of one operation came to since a stream's profile began.
struct OperationTotal {
  int64 calls = 0;
  double seconds = 0, flops = 0, bytes = 0;  ///< seconds by the wall clock, or the device's
  DType dtype = DType::f32;
};

/// Bytes that Execution::scratch<T>(n) takes of an operation's scratch memory.
template <class T>
constexpr int64 scratch_size(int64 n) {
  return round_up(n * int64{sizeof(T)}, 64);
}

/// A host value that an operation on a stream computes: read it only after the stream has come to it.
template <class T>
class Readback {
 public:
  Readback() : state_(std::make_shared<std::optional<T>>()) {}
  void set(T value) const { *state_ = std::move(value); }
  void forget() const { state_->reset(); }
  bool ready() const { return state_->has_value(); }
  const T& get() const {
    FOVEA_CHECK(ready(), "a readback was read before its stream had come to it");
    return **state_;
  }

 private:
  std::shared_ptr<std::optional<T>> state_;
};

/// What a stream of a device has beside the threads: its queue, and readbacks that wait for it.
struct DeviceSide {
  DeviceQueue queue;
  std::vector<std::function<void()>> arrivals;  ///< called in order once the queue has been waited for
};

/// What an operation sees while it runs: threads, and the scratch memory it announced in Work. On a device it
/// is run when it is launched, and its scratch memory is the device's.
class Execution {
 public:
  Execution(ThreadPool& pool, std::byte* scratch, int64 scratch_bytes, DeviceSide* device = nullptr)
      : pool_(pool), scratch_(scratch), left_(scratch_bytes), device_(device) {}
  int threads() const { return pool_.threads(); }
  /// body(part, worker) for each part in [0, parts); see ThreadPool::run.
  void parallel_for(int64 parts, FunctionRef<void(int64, int)> body) { pool_.run(parts, body); }
  /// n elements of uninitialised memory, 64-byte aligned, valid until the operation ends.
  template <class T>
  T* scratch(int64 n) {
    const int64 bytes = scratch_size<T>(n);
    FOVEA_CHECK(bytes <= left_, "{} bytes of scratch asked for, {} announced", bytes, left_);
    T* p = reinterpret_cast<T*>(scratch_);
    scratch_ += bytes;
    left_ -= bytes;
    return p;
  }

  /// The device's queue; only on a stream of a device.
  DeviceQueue& queue() const {
    FOVEA_CHECK(device_, "an operation of the device on a stream of the host");
    return device_->queue;
  }
  /// f(T) is called with this value of the device, as it is once what was launched so far has run, when the
  /// stream has come to it.
  template <class T, class F>
  void when_read(const void* value, F f) {
    static_assert(std::is_trivially_copyable_v<T>);
    const T* slot = static_cast<const T*>(queue().readback_slot(sizeof(T)));
    queue().copy(const_cast<T*>(slot), value, sizeof(T));
    device_->arrivals.push_back([f = std::move(f), slot] { f(*slot); });
  }
  /// The readback gets this value.
  template <class T>
  void read_back(const Readback<T>& readback, const void* value) {
    readback.forget();
    when_read<T>(value, [readback](const T& arrived) { readback.set(arrived); });
  }

 private:
  ThreadPool& pool_;
  std::byte* scratch_;
  int64 left_;
  DeviceSide* device_;
};

/// Operations in order. On the CPU an immediate stream runs each at once; on a device it launches them, and
/// only synchronize() waits. A deferred one runs (or launches) them when it is synchronised, so that host
/// code which peeks fails without any GPU. A planning one runs nothing, and needs no device: it counts.
class Stream {
 public:
  enum class Mode { immediate, deferred, plan };

  explicit Stream(Backend backend, int threads = 1, Mode mode = Mode::immediate);
  Backend backend() const { return backend_; }
  Device device() const { return device_of(backend_); }
  int threads() const { return pool_.threads(); }
  Mode mode() const { return mode_; }
  bool planning() const { return mode_ == Mode::plan; }

  /// Runs f(Execution&), now or later. f is copied: it holds views and values, no references to locals.
  template <class F>
  void enqueue(const Work& work, F f) {
    account(work);
    if (mode_ == Mode::immediate)
      execute(work, FunctionRef<void(Execution&)>(f));
    else if (mode_ == Mode::deferred)
      queue_.push_back({work, std::move(f)});
  }
  /// Returns when everything enqueued has run.
  void synchronize();
  /// to = from, elements of contiguous views of one dtype and number, of the host or the stream's device.
  /// What is read of the host may be changed on return, unless the stream is deferred.
  void copy(const View& to, const View& from);

  /// Takes this much scratch memory at once: grown operation by operation it would leave holes.
  void reserve_scratch(int64 bytes);

  /// Totals since the last reset.
  double flops() const { return flops_; }
  int64 peak_scratch_bytes() const { return peak_scratch_; }
  void reset_counters();

  /// While it is on, what runs is timed and added to operations().
  void profile(bool on) { profile_ = on; }
  const std::map<std::string_view, OperationTotal>& operations() const { return operations_; }
  /// Tests fill scratch with NaN before every operation.
  void poison_scratch(bool on) { poison_ = on; }

 private:
  struct Queued {
    Work work;
    std::function<void(Execution&)> run;
  };
  void account(const Work& work);
  void execute(const Work& work, FunctionRef<void(Execution&)> run);
  void finish_device_work();

  Backend backend_;
  Mode mode_;
  ThreadPool pool_;
  std::unique_ptr<DeviceSide> device_;  // before what its work uses
  Buffer scratch_;
  std::vector<Queued> queue_;
  double flops_ = 0;
  int64 peak_scratch_ = 0;
  std::map<std::string_view, OperationTotal> operations_;
  struct Timed {
    Work work;
    int begin, end;  // marks of the queue
  };
  std::vector<Timed> timed_;
  bool profile_ = false, poison_ = false;
};

}  // namespace fovea
