#include "core/error.h"
#include "core/thread_pool.h"

namespace fovea {

// Of a build without oneTBB: the caller runs every part. No result depends on who does.

struct ThreadPool::Arena {};

ThreadPool::ThreadPool(int threads) : threads_(threads) {
  FOVEA_CHECK(threads >= 1, "a pool of {} threads", threads);
}

ThreadPool::~ThreadPool() = default;

void ThreadPool::run(int64 parts, FunctionRef<void(int64, int)> body) {
  for (int64 part = 0; part < parts; ++part) body(part, 0);
}

}  // namespace fovea
