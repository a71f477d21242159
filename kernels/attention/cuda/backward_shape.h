#pragma once

#include "kernels/attention/cuda/fragments.h"
#include "kernels/attention/cuda/problem.h"
#include "kernels/attention/cuda/turns.h"
#include "kernels/cuda/shared_tile.h"

namespace fovea::cuda {

/// A tile of queries of a head, by its first row.
struct QueryTile {
  int head, row;
};

/// What a block of the backward does: a tile of keys, and the tiles of queries that see it.
struct BackwardWork {
  DeviceSequence sequence;
  Interval rows, full_rows;  ///< of the tiles that see a key, and rows that see all of them
  int keys_begin, kv_head, part;
  int first_head, steps;  ///< of queries; tiles over the heads of the part
  int q_slot, k_slot;     ///< of the sequence's first tile of queries, and of the tile of keys
  Turn turn;              ///< that is to be ended: the first thread's
};

/// Tiles of the backward for one size of heads: M queries by N keys, and along which of them the 8 warps
/// stand in each product: how many along the queries in scores, along the keys in dk and dv, along the
/// queries in dq.
template <int QkDim, int VDim, int M, int N, int ScoreWarps, int KeyWarps, int QueryWarps, bool TwoQueryTiles,
          int BlocksOnSm = 1>
struct BackwardShape {
  static constexpr int kWarps = 8, kThreads = kWarps * kWarp, kBlocksOnSm = BlocksOnSm;
  static constexpr int kQkDim = QkDim, kVDim = VDim, kM = M, kN = N;
  static constexpr bool kTwoQueryTiles = TwoQueryTiles;

  using Queries = SharedTile<M, QkDim>;  // also of dq
  using Outs = SharedTile<M, VDim>;
  using Keys = SharedTile<N, QkDim>;
  using Values = SharedTile<N, VDim>;
  using Pairs = SharedTile<M, N>;

  using Scores = Fragments<M, N, ScoreWarps, kWarps / ScoreWarps>;
  using Dq = Fragments<M, QkDim, QueryWarps, kWarps / QueryWarps>;
  using Dk = Fragments<N, QkDim, KeyWarps, kWarps / KeyWarps>;
  using Dv = Fragments<N, VDim, KeyWarps, kWarps / KeyWarps>;

  // Shared memory: where each tile begins, in bytes.
  static constexpr int kQ = 0, kDout = kQ + (TwoQueryTiles ? 2 : 1) * Queries::kBytes,
                       kK = kDout + Outs::kBytes, kV = kK + Keys::kBytes, kP = kV + Values::kBytes,
                       kDs = kP + Pairs::kBytes,
                       kStatistics = kDs + Pairs::kBytes,  // lse and delta, twice
      kWork = kStatistics + 2 * 2 * M * 4;
  static constexpr int kSharedBytes = kWork + int{sizeof(BackwardWork)};
  static_assert(kWork % alignof(BackwardWork) == 0);
  static_assert(kSharedBytes <= 163 * 1024);
};

}  // namespace fovea::cuda
