#pragma once

#include <algorithm>

#include "core/stream.h"

namespace fovea {

/// How an operation over rows is cut for the threads.
struct RowParts {
  int64 rows = 0, rows_per_part = 1;
  int64 count() const { return ceil_div(rows, rows_per_part); }
  Range operator[](int64 part) const {
    return {part * rows_per_part, std::min(rows, (part + 1) * rows_per_part)};
  }
};

/// For rows that do not meet: parts of some ten thousand elements, worth waking a thread for.
inline RowParts independent_parts(int64 N, int64 C) {
  return {N, std::max<int64>(1, 16384 / std::max<int64>(1, C))};
}

/// For sums over rows: their order, hence their bits, depends on N alone; at most 64 parts bound the scratch.
inline RowParts summed_parts(int64 N) { return {N, std::max<int64>(32, ceil_div(N, 64))}; }

/// target (C) += the sum over parts of partial (parts, C), which is overwritten, by a binary tree over the
/// parts.
inline void add_parts(Execution& execution, float* partial, int64 parts, int64 C, float* target) {
  constexpr int64 kColumns = 1024;
  if (parts == 0) return;
  execution.parallel_for(ceil_div(C, kColumns), [&](int64 block, int) {
    const int64 begin = block * kColumns, end = std::min(C, begin + kColumns);
    for (int64 step = 1; step < parts; step *= 2)
      for (int64 part = 0; part + step < parts; part += 2 * step) {
        float* to = partial + part * C;
        const float* from = to + step * C;
        for (int64 c = begin; c < end; ++c) to[c] += from[c];
      }
    for (int64 c = begin; c < end; ++c) target[c] += partial[c];
  });
}

/// Rows of f32 for each worker's conversions.
class WorkerRows {
 public:
  WorkerRows(int64 C, int64 rows) : stride_(round_up(C, 16)), rows_(rows) {}
  int64 scratch_bytes(int threads) const { return scratch_size<float>(elements(threads)); }
  void take(Execution& execution) { base_ = execution.scratch<float>(elements(execution.threads())); }
  float* row(int worker, int64 i) const { return base_ + (worker * rows_ + i) * stride_; }

 private:
  int64 elements(int threads) const { return threads * rows_ * stride_; }
  int64 stride_, rows_;
  float* base_ = nullptr;
};

}  // namespace fovea
