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
/// Bytes that memory is read by.
constexpr int64 kLine = 64;
/// Columns are padded to whole vectors of the widest instruction set.
constexpr int64 kPad = 16;

/// How a problem is cut into pieces of work: some query rows of a group against some keys of its head. The
/// rows of a group are those of its query heads, head after head: row r is query r % q_len of head r / q_len.
///
/// Forward: a share of the rows, and of the keys too where there are too few rows to work on. Backward: all
/// rows, and a share of the keys. Where the rows of a group are one tile, a forward unit does several heads
/// side by side, since keys are then all that is read, and lie side by side. The order of every sum depends
/// on the problem's shape alone. Into how many parts keys are cut is such an order; how many rows a forward
/// unit has is not.
struct Unit {
  AttentionSequence sequence;
  int64 number = 0;              ///< of the sequence
  int64 kv_head = 0, heads = 1;  ///< key/value heads from kv_head on, each with the same rows and keys
  int64 key_part = 0, key_parts = 1;
  Range rows, keys;
};

class Units {
 public:
  Units(const AttentionProblem& problem, Pass pass, int threads);
  /// Needed before anything else where there are documents: room for one number per document and one.
  int64 starts_needed() const { return documents_ ? documents_ + 1 : 0; }
  void index(int64* starts);

  int64 count() const {
    return documents_ ? starts_[documents_] : uniform_units_ * head_groups() * problem_.batch;
  }
  Unit operator[](int64 i) const;
  /// The most parts into which the keys of a sequence are cut.
  int64 key_parts() const { return key_parts_; }
  /// The most query rows of a group in one sequence.
  int64 most_rows() const { return most_rows_; }
  int64 most_keys() const { return most_keys_; }
  /// The most heads of a unit.
  int64 heads() const { return heads_; }
  /// Forward: rows of a unit, but for the last of a group.
  int64 unit_rows() const { return unit_rows_; }
  AttentionSequence sequence(int64 n) const;
  int64 sequences() const { return documents_ ? documents_ : problem_.batch; }

 private:
  int64 head_groups() const { return ceil_div(problem_.kv_heads, heads_); }
  Range keys_of(const AttentionSequence& sequence) const;
  int64 row_parts_of(const AttentionSequence& sequence) const;
  int64 key_parts_of(const AttentionSequence& sequence) const;
  int64 units_of(const AttentionSequence& s) const { return row_parts_of(s) * key_parts_of(s); }

  const AttentionProblem& problem_;
  Pass pass_;
  int64 documents_, heads_ = 1, least_keys_ = 0, uniform_units_ = 0, key_parts_ = 1, unit_rows_ = 0,
                    most_rows_ = 0, most_keys_ = 0;
  const int64* starts_ = nullptr;
};

/// The number of a unit's first row among the rows of all heads: (batch, q_heads, q_len) where there are no
/// documents, else each document's (q_heads, q_len) one after the other.
int64 first_row(const AttentionProblem& problem, const Unit& unit);

/// The pieces of a range between multiples of `size`, in order: for (const Range piece : Pieces(range,
/// size)). The first begins at an even number, where a pair does.
class Pieces {
 public:
  Pieces(Range range, int64 size) : range_{range.begin / 2 * 2, range.end}, size_(size) {
    if (range.size() <= 0) range_ = {0, 0};
  }
  struct Iterator {
    int64 at, end, size;
    Range operator*() const { return {at, std::min(end, (at / size + 1) * size)}; }
    Iterator& operator++() {
      at = (**this).end;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return at != other.at; }
  };
  Iterator begin() const { return {range_.begin, range_.end, size_}; }
  Iterator end() const { return {range_.end, range_.end, size_}; }

 private:
  Range range_;
  int64 size_;
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

/// Columns of f32, padded.
constexpr int64 padded(int64 columns) { return round_up(columns, kPad); }
/// Elements of four bytes that a row of so many columns takes, each `width` numbers wide.
constexpr int64 elements(int64 columns, int64 width) { return round_up(columns, kPad * width) / width; }
/// Keys of which a backward unit keeps gradients at once: many, since all rows that see them are packed anew
/// for each block; no result depends on it.
int64 key_block(const AttentionProblem& problem);
/// 2 where the problem is computed in pairs of bf16, 1 where in f32.
int64 tile_width(const AttentionProblem& problem);

/// Keys that at least one of some rows sees, and keys that every one sees.
struct Seen {
  Range any, all;
};

/// Hands out pieces of one block of memory, at multiples of 64 bytes from its begin; without a block it
/// counts what they take.
class Carver {
 public:
  explicit Carver(float* block = nullptr) : block_(block) {}
  float* floats(int64 n) {
    float* piece = block_ ? block_ + used_ : nullptr;
    used_ += round_up(n, 16);
    return piece;
  }
  int32* ints(int64 n) { return reinterpret_cast<int32*>(floats(n)); }
  Seen* seen(int64 n) {
    return reinterpret_cast<Seen*>(floats(n * static_cast<int64>(sizeof(Seen) / sizeof(float))));
  }
  int64 used() const { return used_; }

 private:
  float* block_;
  int64 used_ = 0;
};

/// Heads that a unit does side by side, at most.
constexpr int64 kMostHeads = 16;
/// Keys that they do at a time.
constexpr int64 kSharedKeys = 16;

/// Memory of one worker, forward, for one head. R rows of a unit, padded to kQueries; E elements of a row of
/// q or k, each `width` numbers wide; Dv padded.
struct ForwardMemory {
  float* k;             // (kKeys, E)
  float* v;             // (kKeys / width, Dv)
  float* rows;          // (kQueries, E), on their way into q
  float* q;             // (R / kQueries, E, kQueries)
  float* out;           // (R, Dv)
  float* scores;        // (kKeys, kQueries)
  float *most, *sum;    // (R)
  float* rescale;       // (kQueries)
  int32 *first, *last;  // (R) visible keys [first, last)
  Seen* seen;           // (R / kQueries)
  ForwardMemory() = default;
  ForwardMemory(Carver& carver, const AttentionProblem& problem, const Units& units);
  /// What each head of a unit has for itself: q, out, most, sum, first, last, seen.
  void take_own(Carver& carver, const AttentionProblem& problem, const Units& units);
};
/// Of as many heads as a unit has; what they use one after the other is there once.
struct ForwardMemories {
  ForwardMemory heads[kMostHeads];
  ForwardMemories(Carver& carver, const AttentionProblem& problem, const Units& units);
};

/// Memory of one worker, backward. R rows of a group in one sequence, padded to kQueries; D and Dv padded, E
/// and Ev elements of their rows, each `width` numbers wide.
struct BackwardMemory {
  float *k, *v;               // (key_block, E or Ev)
  float* k_across;            // (key_block / width, D); k itself where width is 1
  float *dk, *dv;             // (key_block, D or Dv)
  float *q_rows, *dout_rows;  // (kQueries / width, D or Dv)
  float *q, *dout, *out;      // (E or Ev, kQueries)
  float* rows;                // (kQueries, E or Ev), on their way into the former
  float *s, *dp;              // (kKeys, kQueries), overwritten by the next two where width is 1
  float *p, *ds;              // (kKeys, kQueries / width)
  float* ds_across;           // (kKeys / width, kQueries); ds itself where width is 1
  float* slope;               // (kKeys, kQueries), where scores are capped
  float* lse;                 // (R), to base 2
  float* delta;               // (R), where has_delta (R / kQueries) says so
  int32* has_delta;
  int32 *first, *last;  // (R)
  Seen* seen;           // (R / kQueries)
  float* dq;            // (R, D)
  BackwardMemory(Carver& carver, const AttentionProblem& problem, const Units& units);
};

/// What units whose keys are one part of several have summed: for each part, out, most and sum of all rows.
struct Partials {
  float* base;  // (parts, rows * (Dv + 2))
  int64 rows, Dv;
  static int64 floats(int64 parts, int64 rows, int64 Dv) { return parts * rows * (Dv + 2); }
  float* out(int64 part, int64 row) const { return base + part * rows * (Dv + 2) + row * Dv; }
  float* most(int64 part, int64 row) const { return base + part * rows * (Dv + 2) + rows * Dv + row; }
  float* sum(int64 part, int64 row) const { return most(part, row) + rows; }
};

// One unit on one worker's memory, in f32 (dispatched to the best instruction set) or in pairs of bf16, as
// tile_width() says.
void run_unit(const AttentionForward& op, const Unit& unit, const ForwardMemories& memories,
              const Partials& partials);
/// out and lse of the rows of a unit's first head, whose keys were cut into parts.
void merge_parts(const AttentionForward& op, const Unit& unit, const ForwardMemory& memory,
                 const Partials& partials);
/// Sums into `dq` (R, D) f32, which it first clears; writes dk and dv; into dsink (group), where there is a
/// sink and the unit is the first of its head, this sequence's gradient.
void run_unit(const AttentionBackward& op, const Unit& unit, const BackwardMemory& memory, float* dq,
              float* dsink);
void run_unit_in_bf16(const AttentionForward& op, const Unit& unit, const ForwardMemories& memories,
                      const Partials& partials);
void run_unit_in_bf16(const AttentionBackward& op, const Unit& unit, const BackwardMemory& memory, float* dq,
                      float* dsink);
/// dq of rows of a group = the sum of `parts` f32 copies (R, D), part_stride elements apart, in their order;
/// the first is overwritten.
void write_dq(const AttentionBackward& op, const Unit& unit, Range rows, float* dq, int64 parts,
              int64 part_stride);
/// The instruction set that f32 tiles run on, by Highway's name.
const char* highway_target();

}  // namespace fovea::flash
