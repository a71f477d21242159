#pragma once

#include <vector>

#include "core/buffer.h"
#include "kernels/bench/row_case.h"

namespace fovea {

/// The operands of a case, several times over, so that a call finds none of its own in a cache.
class RowWork {
 public:
  RowWork(TimedRows what, int threads);

  /// Runs it this many times, on one set of operands after another; seconds of one.
  double time(int calls);
  /// What a call moves at least.
  int64 bytes() const { return bytes_; }

 private:
  struct Operands {
    Buffer x, y, dy, dx;                     // (N, C)
    Buffer weight, bias, dweight, dbias;     // (C)
    Buffer mean, r;                          // (N)
    Buffer gradient, m, v, master, rounded;  // (N C)
  };
  Operands operands() const;
  void run(const Operands& on);

  TimedRows what_;
  Stream stream_;
  std::vector<Operands> sets_;
  size_t next_ = 0;
  int64 bytes_ = 0;
};

}  // namespace fovea
