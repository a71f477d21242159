#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/buffer.h"
#include "core/thread_pool.h"

namespace fovea {

/// Which implementations a stream runs. `reference` is fp64 throughout, whatever the storage; `naive` is the
/// cpu backend with attention materialised and unfused.
enum class Backend { reference, naive, cpu };
std::string_view name_of(Backend backend);
/// Throws UserError (usage) naming the choices. "auto" is the fastest there is: cpu.
Backend backend_named(std::string_view name);

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
  double seconds = 0, flops = 0, bytes = 0;  ///< seconds by the wall clock
  DType dtype = DType::f32;
};

/// Bytes that Execution::scratch<T>(n) takes of an operation's scratch memory.
template <class T>
constexpr int64 scratch_size(int64 n) {
  return round_up(n * int64{sizeof(T)}, 64);
}

/// What an operation sees while it runs: threads, and the scratch memory it announced in Work.
class Execution {
 public:
  Execution(ThreadPool& pool, std::byte* scratch, int64 scratch_bytes)
      : pool_(pool), scratch_(scratch), left_(scratch_bytes) {}
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

 private:
  ThreadPool& pool_;
  std::byte* scratch_;
  int64 left_;
};

/// Operations in order. On the CPU an immediate stream runs each at once. A deferred one runs them when it is
/// synchronised, so that host code which peeks fails without any GPU. A planning one runs nothing: it counts.
class Stream {
 public:
  enum class Mode { immediate, deferred, plan };

  explicit Stream(Backend backend, int threads = 1, Mode mode = Mode::immediate);
  Backend backend() const { return backend_; }
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

  Backend backend_;
  Mode mode_;
  ThreadPool pool_;
  Buffer scratch_;
  std::vector<Queued> queue_;
  double flops_ = 0;
  int64 peak_scratch_ = 0;
  std::map<std::string_view, OperationTotal> operations_;
  bool profile_ = false, poison_ = false;
};

/// A host value that an operation on a stream computes: read it only after the stream has come to it.
template <class T>
class Readback {
 public:
  Readback() : state_(std::make_shared<std::optional<T>>()) {}
  void set(T value) const { *state_ = std::move(value); }
  bool ready() const { return state_->has_value(); }
  const T& get() const {
    FOVEA_CHECK(ready(), "a readback was read before its stream had come to it");
    return **state_;
  }

 private:
  std::shared_ptr<std::optional<T>> state_;
};

}  // namespace fovea
