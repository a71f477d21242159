#pragma once

#include "kernels/attention/cuda/forward.h"
#include "kernels/attention/cuda/prepare.h"

namespace fovea::cuda {

/// How a forward pass is cut: a function of the problem alone, so that its bits are.
struct ForwardPlan {
  explicit ForwardPlan(const AttentionProblem& problem);

  const ForwardKernel* kernel;
  DocumentTables documents;
  int64 tiles = 0;   ///< of all documents, or of one batch row
  int64 blocks = 0;  ///< the grid
  int splits = 1;    ///< parts that the keys are cut into
  int64 rows = 0;    ///< (B, Sq, Hq)
  int64 partials() const { return splits > 1 ? splits * rows : 0; }
  int64 scratch_bytes(const AttentionProblem& problem) const;
};

}  // namespace fovea::cuda
