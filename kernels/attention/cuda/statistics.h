#pragma once

#include "kernels/attention/attention.h"
#include "kernels/attention/cuda/prepare.h"
#include "kernels/attention/cuda/tiles.h"

// Before and after the kernels of attention's backward.

namespace fovea::cuda {

/// Tiles of one side of a problem, without the list of documents' tiles: upload() of the tables gives it.
TileCut cut_tiles(const AttentionProblem& problem, Side side, const DocumentTables& tables, int rows);

/// Writes the statistics of every query row, its lse times the factor, and where there are sinks each tile's
/// share of dsink: (q_heads, tiles).
void prepare_rows(const Execution& execution, const AttentionBackward& op, const DeviceProblem& problem,
                  const TileCut& queries, float lse_factor, const RowStatistics& to, float* dsink_shares);

/// dsink = - sum over rows of exp(sink - lse) delta, from the tiles' shares in their order.
void sum_dsink(const Execution& execution, const AttentionBackward& op, const TileCut& queries,
               const float* shares);

}  // namespace fovea::cuda
