#pragma once

#include <memory>
#include <vector>

#include "core/types.h"

namespace fovea {

/// Bounds of packed sequences (batch 1): document n is query rows [q[n], q[n + 1]) and key rows [k[n], k[n +
/// 1]). Both climb from 0 to the number of rows; a document may be empty on either side. The host's copy.
struct DocumentBounds {
  std::vector<int64> q, k;
  int64 count() const { return static_cast<int64>(q.size()) - 1; }
};

/// Which keys a query sees: a value, never a matrix.
///
/// Within a sequence (or document) of Sq queries and Sk keys query i stands at key p = i + q_start,
/// bottom-right aligned by default (q_start = Sk - Sq; with documents always so, in each). It sees key j if
///   causal: j <= p;   left >= 0: j >= p - left;   right >= 0: j <= p + right.
/// Offsets exclude self; -1 is unbounded.
struct Mask {
  bool causal = false;
  int64 left = -1, right = -1;
  std::shared_ptr<const DocumentBounds> documents;  ///< none: every batch row is one sequence
};

/// A mask from a window as configurations, Hugging Face files and benchmarks count it: W keys visible, self
/// included.
Mask causal_mask();
Mask sliding_window_mask(int64 window);

/// What the mask shows of a tile of queries x keys.
enum class Coverage { empty, partial, full };

/// The mask of one sequence: the visible keys of any query are one interval, which climbs with the query.
struct SequenceMask {
  bool causal = false;
  int64 left = -1, right = -1;
  int64 q_len = 0, kv_len = 0, q_start = 0;

  /// The keys that query i sees; empty ranges are [x, x).
  Range keys_of(int64 i) const;
  /// The keys that at least one of these queries sees / the queries that see at least one of these keys.
  Range keys_of(Range queries) const;
  Range queries_of(Range keys) const;
  Coverage coverage(Range queries, Range keys) const;
  int64 visible_pairs() const;
};

/// The mask of a sequence of these lengths whose query 0 stands at key q_start; offsets of any size are safe.
SequenceMask sequence_mask(const Mask& mask, int64 q_len, int64 kv_len, int64 q_start);

struct AttentionProblem;

/// One sequence of a problem: which rows of q and k it is, and its mask in their own numbering.
struct AttentionSequence {
  int64 batch = 0;  ///< index of the batch row
  Range q, k;       ///< rows of that batch row
  SequenceMask mask;
};
/// Every sequence (batch rows, or the documents of the one row), empty ones included.
std::vector<AttentionSequence> sequences_of(const AttentionProblem& problem);

/// Visible (query, key) pairs of the whole problem, over the batch, for one query head.
int64 visible_pairs(const AttentionProblem& problem);

}  // namespace fovea
