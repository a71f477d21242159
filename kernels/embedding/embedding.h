#pragma once

#include "core/stream.h"
#include "kernels/residual/residual.h"

namespace fovea {

/// out = dropout(scale * table[token] + position_table[position]).
///
/// tokens, positions (N) i32, within the tables (checked by whoever made the batch); table (V, C) and
/// position_table (P, C), which may be absent, f32 | bf16 (f64); out (N, C) of its own dtype.
struct Embedding {
  View tokens, positions, table, position_table;  // in
  View out;                                       // out
  float scale = 1;
  Dropout dropout;
};
void embedding(Stream& stream, const Embedding& op);

/// dtable and dposition_table (f32 | f64) are added to, each row over its tokens in the order of the rows of
/// dout.
struct EmbeddingBackward {
  View tokens, positions, dout;  // in
  View dtable, dposition_table;  // out
  float scale = 1;
  Dropout dropout;
};
void embedding_backward(Stream& stream, const EmbeddingBackward& op);

}  // namespace fovea
