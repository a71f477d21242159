#pragma once

#include "kernels/attention/cuda/problem.h"

// What the host says to the tensor core kernels of the forward pass.

namespace fovea::cuda {

struct ForwardArguments {
  DeviceProblem problem;
  DeviceTensor q, k, v, out, lse;
  const float* sink;  ///< (Hq) or null
  /// Probabilities are exp2(c (score - most)): c is log2(e) scale and scores are products of q and k, or c is
  /// log2(e) and scores are transformed: capped, or multiplied by a scale that is not positive.
  float c;
  bool transformed;
  /// Rows of a tile are row = query * group + head of the group. tile_count is of all documents, which have a
  /// list of tiles, or of one batch row.
  int tile_count;
  const TileStart* tiles;
  /// The keys of a tile are cut into so many parts; of more than one, what they come to is written apart:
  /// (splits, B, Sq, Hq, Dv) divided by its sum, and (splits, B, Sq, Hq) log2 of the sum of exponentials.
  int splits;
  float *partial_out, *partial_lse;
};

/// A kernel and the tiles of rows and keys that it was compiled for.
struct ForwardKernel {
  void (*kernel)(ForwardArguments);
  int rows, keys, threads, shared_bytes;
};

enum Element { kBf16, kF16, kElements };

/// The kernels of heads of at most these sizes: for many rows per sequence, and for few, where keys may be
/// cut.
struct ForwardKernels {
  int qk_dim, v_dim;
  ForwardKernel many[kElements], few[kElements];
};

extern const ForwardKernels kForward32, kForward64, kForward96, kForward128, kForward192x128, kForward192,
    kForward256;

}  // namespace fovea::cuda
