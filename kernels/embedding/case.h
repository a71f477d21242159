#pragma once

#include "kernels/check/case.h"
#include "kernels/embedding/embedding.h"

namespace fovea::check {

struct EmbeddingProblem {
  int64 N = 1, C = 1, V = 11, P = 7;
  DType dtype = DType::f32, out_dtype = DType::f32;
  bool positions = false;
  float scale = 1, dropout = 0;
  Layout layout = {};
};

/// Operands: tokens positions table position_table | out.
Case embedding_case(const EmbeddingProblem& p);
/// Operands: tokens positions dout | dtable dposition_table.
Case embedding_backward_case(const EmbeddingProblem& p);

}  // namespace fovea::check
