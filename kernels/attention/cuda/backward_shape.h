#pragma once

#include "kernels/attention/cuda/fragments.h"
#include "kernels/cuda/shared_tile.h"

namespace fovea::cuda {

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
      kTicket = kStatistics + 2 * 2 * M * 4;
  static constexpr int kSharedBytes = kTicket + 16;
  static_assert(kSharedBytes <= 163 * 1024);
};

}  // namespace fovea::cuda
