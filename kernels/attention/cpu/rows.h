#pragma once

#include <algorithm>
#include <cstddef>

#include "kernels/attention/cpu/units.h"
#include "kernels/attention/planted_bug.h"

namespace fovea::flash {

/// f(head, queries) for each head's piece of these rows of a group, in order.
template <class F>
void for_each_head(Range rows, int64 rows_per_head, F f) {
  if (rows.size() <= 0) return;
  int64 head = rows.begin / rows_per_head, query = rows.begin % rows_per_head;
  for (int64 left = rows.size(); left > 0; ++head, query = 0) {
    const int64 n = std::min(left, rows_per_head - query);
    f(head, Range{query, query + n});
    left -= n;
  }
}

/// Where the rows of a group lie.
struct GroupRows {
  std::byte* base;
  int64 row, head;  // strides in bytes
  int64 rows_per_head;
  DType dtype;

  /// Whether every row begins where an element of four bytes may.
  bool on_words() const {
    constexpr int64 kWord = sizeof(float);
    return reinterpret_cast<uintptr_t>(base) % kWord == 0 && row % kWord == 0 && head % kWord == 0;
  }
  std::byte* at(int64 r) const { return base + r / rows_per_head * head + r % rows_per_head * row; }
  /// f(address of row) for each of the rows, in order.
  template <class F>
  void for_each(Range rows, F f) const {
    for_each_head(rows, rows_per_head, [&](int64 h, Range queries) {
      std::byte* at = base + h * head + queries.begin * row;
      for (int64 i = queries.begin; i < queries.end; ++i, at += row) f(at);
    });
  }
};

/// The query head that is the h-th of a key/value head's group.
inline int64 query_head(const AttentionProblem& problem, int64 kv_head, int64 h) {
  if (planted(Bug::head_modulo)) return kv_head + h * problem.kv_heads;
  return kv_head * problem.group() + h;
}
/// Rows of q, out, dout or dq: the unit's queries of each head of its group.
inline GroupRows query_rows(const AttentionProblem& problem, const Unit& unit,
                            const View& view /* (B, S, H, D) */) {
  const int64 first = query_head(problem, unit.kv_head, 0),
              step = query_head(problem, unit.kv_head, 1) - first;
  const int64 bytes = size_of(view.dtype()),
              start = unit.sequence.batch * view.stride(0) +
                      (unit.sequence.q.begin + unit.queries.begin) * view.stride(1) + first * view.stride(2);
  return {static_cast<std::byte*>(view.data()) + start * bytes, view.stride(1) * bytes,
          step * view.stride(2) * bytes, unit.queries.size(), view.dtype()};
}
/// The same of lse: a row is one number.
inline GroupRows lse_rows(const AttentionProblem& problem, const Unit& unit,
                          const View& view /* (B, H, S) */) {
  const int64 first = query_head(problem, unit.kv_head, 0),
              step = query_head(problem, unit.kv_head, 1) - first;
  const int64 bytes = size_of(view.dtype()),
              start = unit.sequence.batch * view.stride(0) + first * view.stride(1) +
                      (unit.sequence.q.begin + unit.queries.begin) * view.stride(2);
  return {static_cast<std::byte*>(view.data()) + start * bytes, view.stride(2) * bytes,
          step * view.stride(1) * bytes, unit.queries.size(), view.dtype()};
}
/// Rows of k, v, dk or dv that belong to the unit's sequence.
inline GroupRows key_rows(const Unit& unit, const View& view /* (B, S, H, D) */) {
  const int64 bytes = size_of(view.dtype());
  const int64 start = unit.sequence.batch * view.stride(0) + unit.sequence.k.begin * view.stride(1) +
                      unit.kv_head * view.stride(2);
  return {static_cast<std::byte*>(view.data()) + start * bytes, view.stride(1) * bytes, 0,
          unit.sequence.k.size(), view.dtype()};
}

}  // namespace fovea::flash
