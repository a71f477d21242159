#pragma once

#include <memory>
#include <type_traits>

#include "core/types.h"

namespace fovea {

/// A reference to a callable that outlives the call it is passed to; no allocation.
template <class>
class FunctionRef;
template <class R, class... A>
class FunctionRef<R(A...)> {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
      // NOLINTNEXTLINE(google-*,bugprone-forwarding-*): a lambda argument becomes one
      FunctionRef(F&& f)
      : object_(const_cast<void*>(static_cast<const void*>(&f))), call_([](void* object, A... a) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(a...);
        }) {}
  R operator()(A... a) const { return call_(object_, a...); }

 private:
  void* object_;
  R (*call_)(void*, A...);
};

/// Fork-join over a oneTBB arena of a fixed number of threads, the caller's included.
///
/// Which thread runs which part is free, so results must not depend on it: parts write disjoint memory, and a
/// sum over parts is taken in the order of the parts. Library calls made inside a part are single-threaded.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);  ///< threads >= 1
  ~ThreadPool();
  int threads() const { return threads_; }
  /// Calls body(part, worker) once for each part in [0, parts), worker in [0, threads()); returns when all
  /// are done.
  void run(int64 parts, FunctionRef<void(int64 part, int worker)> body);

 private:
  struct Arena;
  int threads_;
  std::unique_ptr<Arena> arena_;
};

}  // namespace fovea
