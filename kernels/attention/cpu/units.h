#pragma once

#include <algorithm>
#include <cstddef>

#include "kernels/attention/attention.h"
#include "kernels/attention/planted_bug.h"

namespace fovea::flash {

/// Queries are lanes of vectors: so many stand side by side in a tile, whatever the instruction set.
constexpr int64 kQueries = 32;
/// Keys of one tile: its scores, kKeys x kQueries, stay in the first-level cache.
constexpr int64 kKeys = 64;
/// Keys that are packed at once.
constexpr int64 kKeyBlock = 256;
/// Columns are padded to whole vectors of the widest instruction set.
constexpr int64 kPad = 16;

/// How a problem is cut into pieces of work: by its shape alone, so that the order of every sum is too.
///
/// Forward: so many query rows of one group. Backward: so many keys of one key/value head, all query rows of
/// its group. The rows of a group are those of its query heads, head after head: row r is query r % q_len of
/// head r / q_len.
struct Unit {
  AttentionSequence sequence;
  int64 number = 0;  ///< of the sequence
  int64 kv_head = 0;
  int64 index = 0, parts = 1;  ///< among the parts of its sequence and head
  Range part;                  ///< forward: rows of the group; backward: keys of the sequence
};

class Units {
 public:
  Units(const AttentionProblem& problem, Pass pass);
  /// Needed before anything else where there are documents: room for one number per document and one.
  int64 starts_needed() const { return documents_ ? documents_ + 1 : 0; }
  void index(int64* starts);

  int64 count() const {
    return documents_ ? starts_[documents_] : uniform_parts_ * problem_.kv_heads * problem_.batch;
  }
  Unit operator[](int64 i) const;
  /// Backward: the most parts into which the keys of a sequence are cut.
  int64 key_parts() const { return key_parts_; }
  /// The most query rows of a group in one sequence.
  int64 most_rows() const { return most_rows_; }
  int64 most_keys() const { return most_keys_; }
  AttentionSequence sequence(int64 n) const;
  int64 sequences() const { return documents_ ? documents_ : problem_.batch; }

 private:
  int64 parts_of(const AttentionSequence& sequence) const;

  const AttentionProblem& problem_;
  Pass pass_;
  int64 documents_, uniform_parts_ = 0, key_parts_ = 1, most_rows_ = 0, most_keys_ = 0;
  const int64* starts_ = nullptr;
};

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
/// Rows of q, out, dout or dq that belong to the unit's group.
inline GroupRows query_rows(const AttentionProblem& problem, const Unit& unit,
                            const View& view /* (B, S, H, D) */) {
  const int64 first = query_head(problem, unit.kv_head, 0),
              step = query_head(problem, unit.kv_head, 1) - first;
  const int64 bytes = size_of(view.dtype()), start = unit.sequence.batch * view.stride(0) +
                                                     unit.sequence.q.begin * view.stride(1) +
                                                     first * view.stride(2);
  return {static_cast<std::byte*>(view.data()) + start * bytes, view.stride(1) * bytes,
          step * view.stride(2) * bytes, unit.sequence.q.size(), view.dtype()};
}
/// The same of lse: a row is one number.
inline GroupRows lse_rows(const AttentionProblem& problem, const Unit& unit,
                          const View& view /* (B, H, S) */) {
  const int64 first = query_head(problem, unit.kv_head, 0),
              step = query_head(problem, unit.kv_head, 1) - first;
  const int64 bytes = size_of(view.dtype()), start = unit.sequence.batch * view.stride(0) +
                                                     first * view.stride(1) +
                                                     unit.sequence.q.begin * view.stride(2);
  return {static_cast<std::byte*>(view.data()) + start * bytes, view.stride(2) * bytes,
          step * view.stride(1) * bytes, unit.sequence.q.size(), view.dtype()};
}
/// Rows of k, v, dk or dv that belong to the unit's sequence.
inline GroupRows key_rows(const Unit& unit, const View& view /* (B, S, H, D) */) {
  const int64 bytes = size_of(view.dtype());
  const int64 start = unit.sequence.batch * view.stride(0) + unit.sequence.k.begin * view.stride(1) +
                      unit.kv_head * view.stride(2);
  return {static_cast<std::byte*>(view.data()) + start * bytes, view.stride(1) * bytes, 0,
          unit.sequence.k.size(), view.dtype()};
}
/// The keys [first, last) that these rows of the group see; those that see none, and what is missing to whole
/// tiles, get [0, 0).
void find_keys(const Unit& unit, Range rows, int32* first, int32* last);

/// Hands out 64-byte aligned pieces of one block of memory; without a block it counts what they take.
class Carver {
 public:
  explicit Carver(float* block = nullptr) : block_(block) {}
  float* floats(int64 n) {
    float* piece = block_ ? block_ + used_ : nullptr;
    used_ += round_up(n, 16);
    return piece;
  }
  int32* ints(int64 n) { return reinterpret_cast<int32*>(floats(n)); }
  int64 used() const { return used_; }

 private:
  float* block_;
  int64 used_ = 0;
};

/// Memory of one worker, forward. R rows of a unit, padded to kQueries.
struct ForwardMemory {
  float *k, *v;         // (kKeyBlock, D), (kKeyBlock, Dv)
  float* rows;          // (kQueries, D), on their way into q
  float* q;             // (R / kQueries, D, kQueries), scaled
  float* out;           // (R, Dv)
  float* scores;        // (kKeys, kQueries)
  float *most, *sum;    // (R)
  float* rescale;       // (kQueries)
  int32 *first, *last;  // (R) visible keys [first, last)
  ForwardMemory(Carver& carver, const AttentionProblem& problem);
};

/// Memory of one worker, backward. R rows of a group in one sequence, padded to kQueries.
struct BackwardMemory {
  float *k, *v, *dk, *dv;     // (kKeyBlock, D or Dv)
  float *q_rows, *dout_rows;  // (kQueries, D or Dv)
  float *q, *dout, *out;      // (D or Dv, kQueries); q scaled
  float* rows;                // (kQueries, Dv), on their way into out
  float *p, *ds;              // (kKeys, kQueries)
  float* slope;               // (kKeys, kQueries), where scores are capped
  float* lse;                 // (R), to base 2
  float* delta;               // (kQueries)
  int32 *first, *last;        // (R)
  float* dq;                  // (R, D)
  BackwardMemory(Carver& carver, const AttentionProblem& problem, const Units& units);
};

constexpr int64 padded(int64 columns) { return round_up(columns, kPad); }

/// Rows of a forward unit.
constexpr int64 kForwardRows = 256;

// One unit on one worker's memory; dispatched to the best instruction set.
void run_unit(const AttentionForward& op, const Unit& unit, const ForwardMemory& memory);
/// Sums into `dq` (R, D) f32, which it first clears; writes dk and dv; into dsink (group), where there is a
/// sink and the unit is the first of its head, this sequence's gradient.
void run_unit(const AttentionBackward& op, const Unit& unit, const BackwardMemory& memory, float* dq,
              float* dsink);
/// dq of rows of a group = the sum of `parts` f32 copies (R, D), part_stride elements apart, in their order;
/// the first is overwritten.
void write_dq(const AttentionBackward& op, const Unit& unit, Range rows, float* dq, int64 parts,
              int64 part_stride);
const char* instruction_set();

}  // namespace fovea::flash
