#include "core/thread_pool.h"

#include <omp.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <mutex>

#include "core/error.h"

// In the thread sanitizer's build this file alone is not instrumented: the sanitizer cannot see how oneTBB's
// library synchronises with oneTBB's headers. Fork and join are told to it by hand instead, so that it judges
// the parts, and only them.
#ifdef FOVEA_TSAN
extern "C" void __tsan_acquire(void*);
extern "C" void __tsan_release(void*);
#else
static void __tsan_acquire(void*) {}
static void __tsan_release(void*) {}
#endif

namespace fovea {
namespace {

// oneDNN as Debian builds it parallelises with OpenMP: inside our parts every call must stay on its own
// thread.
void keep_library_calls_single_threaded() {
  thread_local const bool once = (omp_set_num_threads(1), true);
  (void)once;
}

// oneTBB caps its workers at the hardware's count; tests ask for more threads than a machine may have.
void allow_threads(int threads) {
  static std::mutex mutex;
  static std::unique_ptr<tbb::global_control> control;
  static int allowed = 0;
  const std::lock_guard lock(mutex);
  if (threads <= allowed) return;
  control = std::make_unique<tbb::global_control>(tbb::global_control::max_allowed_parallelism,
                                                  static_cast<size_t>(threads));
  allowed = threads;
}

// Tells the sanitizer at the end of a scope, so also when an exception leaves it.
struct ReleaseAtExit {
  void* place;
  ~ReleaseAtExit() { __tsan_release(place); }
};
struct AcquireAtExit {
  void* place;
  ~AcquireAtExit() { __tsan_acquire(place); }
};

}  // namespace

struct ThreadPool::Arena {
  explicit Arena(int threads) : arena(threads) {}
  tbb::task_arena arena;
};

ThreadPool::ThreadPool(int threads) : threads_(threads) {
  FOVEA_CHECK(threads >= 1, "a pool of {} threads", threads);
  if (threads == 1) return;
  allow_threads(threads);
  arena_ = std::make_unique<Arena>(threads);
}

ThreadPool::~ThreadPool() = default;

void ThreadPool::run(int64 parts, FunctionRef<void(int64, int)> body) {
  keep_library_calls_single_threaded();
  if (threads_ == 1 || parts <= 1) {
    for (int64 part = 0; part < parts; ++part) body(part, 0);
    return;
  }
  __tsan_release(this);
  const AcquireAtExit join{&body};
  arena_->arena.execute([&] {
    tbb::parallel_for(
        tbb::blocked_range<int64>(0, parts, 1),
        [&](const tbb::blocked_range<int64>& range) {
          keep_library_calls_single_threaded();
          __tsan_acquire(this);
          const ReleaseAtExit done{&body};
          const int worker = tbb::this_task_arena::current_thread_index();
          for (int64 part = range.begin(); part < range.end(); ++part) body(part, worker);
        },
        tbb::simple_partitioner());
  });
}

}  // namespace fovea
