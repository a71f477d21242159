#pragma once

#include <vector>

#include "core/thread_pool.h"
#include "kernels/attention/attention.h"

namespace fovea {

/// Sums over the rows of one query head; means follow when all sequences are in.
struct HeadSums {
  int64 rows = 0;  ///< that see two keys or more
  double entropy = 0, relative_entropy = 0, previous_token = 0, first_token = 0, saturated = 0, slope = 0;
  int64 scores = 0;
  double score_mean = 0, score_squares = 0, score_largest = 0;  ///< squares: of distances from the mean
  int64 repeated_rows = 0;
  double induction = 0;
};

/// Adds what the softmax of attention does on these operands to sums[0 .. q_heads), one head at a time and
/// one row at a time in double precision: no N x N buffer is made, and threads move no bit. q (B, S, Hq, D),
/// k (B, S, Hkv, D) in any floating-point dtype, as in AttentionForward. With repeated > 0 the rows from
/// there on are the second copy of as many tokens, and what they pay to the token after the first copy's
/// counts as induction.
void add_head_sums(ThreadPool& pool, const AttentionProblem& problem, const View& q, const View& k,
                   int64 repeated, HeadSums* sums);

}  // namespace fovea
