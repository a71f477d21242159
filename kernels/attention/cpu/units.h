#pragma once

#include "kernels/attention/cpu/tiles.h"

namespace fovea::flash {

/// Backward, the keys of a head are cut into so many parts at most.
constexpr int64 kMostKeyParts = 16;

/// How a problem is cut into pieces of work: some query rows of a group against some keys of its head. The
/// rows of a group are some queries of each of its query heads, head after head: row r is query
/// queries.begin + r % queries.size() of head r / queries.size().
///
/// Forward: a share of the rows, and of the keys too where there are too few rows to work on. Backward: a
/// share of the keys, and all rows that see one of them. Where the rows of a group are one tile, a forward
/// unit does several heads side by side, since keys are then all that is read, and lie side by side. The
/// order of every sum depends on the problem's shape alone. Into how many parts keys are cut is such an
/// order; how many rows a forward unit has is not.
struct Unit {
  AttentionSequence sequence;
  int64 number = 0;              ///< of the sequence
  int64 kv_head = 0, heads = 1;  ///< key/value heads from kv_head on, each with the same rows and keys
  int64 key_part = 0, key_parts = 1;
  bool few = false;  ///< few rows against many keys
  Range queries;     ///< of the sequence, of each head
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
  /// Backward: the queries, in whole tiles, that see a key of the part, and those that see none. They climb
  /// with the parts, and every query is in one.
  Range queries_of(const AttentionSequence& sequence, int64 key_part) const;
  int64 sequences() const { return documents_ ? documents_ : problem_.batch; }

 private:
  int64 head_groups() const { return ceil_div(problem_.kv_heads, heads_); }
  Range keys_of(const AttentionSequence& sequence) const;
  Range keys_of(const AttentionSequence& sequence, int64 key_part) const;
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

/// The keys [first, last) that these rows of the group see; those that see none, and what is missing to whole
/// tiles, get [0, 0).
void find_keys(const Unit& unit, Range rows, int32* first, int32* last);

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

}  // namespace fovea::flash
