#pragma once

#include "kernels/attention/cuda/problem.h"

namespace fovea::cuda {

/// One side of every sequence, its queries or its keys, cut into tiles of so many rows, the last of which may
/// have fewer. Tiles are numbered sequence by sequence. Scratch memory of tiles lies in slots: a sequence's
/// are neighbours, and of documents some are left unused, so that no table is needed to find one.
struct TileCut {
  int rows = 1;
  int count = 0, slots = 0;
  int per_sequence = 0;             ///< without documents
  const TileStart* list = nullptr;  ///< with documents, on the device

  FOVEA_HOST_DEVICE TileStart tile(int n) const {
    if (list) return list[n];
    return {n / per_sequence, n % per_sequence * rows};
  }
  /// The slot of the first tile of a sequence that begins at this row of the batch row.
  FOVEA_HOST_DEVICE int first_slot(int sequence, int first_row) const {
    return list ? first_row / rows + sequence : sequence * per_sequence;
  }
};

/// What backward reads of each query row of each head, (q_heads, slots, rows) of the queries' tiles, rows
/// behind a sequence's end included: they, and blind ones, have lse +inf, which makes every probability 0,
/// and delta 0.
struct RowStatistics {
  float* lse = nullptr;    ///< times a factor: log2(e) where probabilities are powers of 2
  float* delta = nullptr;  ///< sum of dout * out

  FOVEA_HOST_DEVICE static int64 place(const TileCut& queries, int head, int slot) {
    return (int64{head} * queries.slots + slot) * queries.rows;
  }
};

}  // namespace fovea::cuda
