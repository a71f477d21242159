#pragma once

#include <algorithm>

#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/matmul/matmul.h"

namespace fovea {

/// Rows whose logits are held at once: so many that about `elements` are, a multiple of 64 up to `most`;
/// chunks of one size.
inline int64 chunk_rows(const LinearCrossEntropy& op, int64 elements, int64 most) {
  const int64 N = op.hidden.size(0), V = std::max<int64>(1, op.weight.size(0));
  const int64 rows = std::clamp<int64>(elements / V, 64, most) / 64 * 64;
  return std::min(N, round_up(ceil_div(N, std::max<int64>(1, ceil_div(N, rows))), 64));
}

/// The products over one chunk of rows.
struct Chunk {
  MatMul logits, dhidden, dweight;
  SumRows dbias;
};

/// logits (rows, V) f32; dlogits (rows, V) take their place, or lie elsewhere.
inline Chunk chunk_of(const LinearCrossEntropy& op, Range rows, const View& logits, const View& dlogits) {
  const View hidden = op.hidden.slice(rows);
  Chunk chunk;
  chunk.logits = {.a = hidden, .b = op.weight, .bias = op.bias, .c = logits, .transpose_b = true};
  // forward: logits = hidden weight^T + bias
  if (op.dhidden) chunk.dhidden = {.a = dlogits, .b = op.weight, .bias = {}, .c = op.dhidden.slice(rows)};
  if (op.dweight)
    chunk.dweight = {.a = dlogits,
                     .b = hidden,
                     .bias = {},
                     .c = op.dweight,
                     .transpose_a = true,
                     .accumulate = op.accumulate_dweight || rows.begin > 0};
  if (op.dbias) chunk.dbias = {.dy = dlogits, .dbias = op.dbias};
  return chunk;
}

}  // namespace fovea
