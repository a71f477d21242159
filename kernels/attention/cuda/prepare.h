#pragma once

#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/attention/cuda/problem.h"

// From an attention call on the host to what its kernels see.

namespace fovea::cuda {

/// Without the device's copy of document bounds: DocumentTables adds them.
DeviceProblem device_problem(const AttentionProblem& problem);

DeviceTensor device_tensor(const View& x);      ///< (B, S, H, D), or absent
DeviceTensor device_statistics(const View& x);  ///< (B, H, S)

/// Whether kernels that copy 16 bytes at a time may read x: a 16-bit (B, S, H, D) whose rows all start at
/// multiples of 16 bytes and are a multiple of 16 bytes long.
bool rows_of_16_bytes(const View& x);

/// Which rows of documents tiles are cut from.
enum class Side { queries, keys };

/// Bounds of packed documents and the tiles they are cut into: the host's tables, copied to the device once
/// per call. Empty without documents.
class DocumentTables {
 public:
  /// Tiles start at every `rows` of the rows of each document, each of which counts for `packed`.
  DocumentTables(const AttentionProblem& problem, Side side, int64 rows, int64 packed = 1);
  int64 tiles() const { return tiles_; }
  /// Device memory that upload() fills.
  int64 ints() const { return static_cast<int64>(values_.size()); }
  /// Copies the tables in the order of the stream and points the problem at them; the list of tiles, null
  /// without documents.
  const TileStart* upload(void* stream, int* to, DeviceProblem& problem) const;

 private:
  std::vector<int> values_;  // q bounds, k bounds, tiles
  int64 tiles_ = 0, documents_ = 0;
};

}  // namespace fovea::cuda
