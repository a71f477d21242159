#include "kernels/embedding/embedding.h"

#include "kernels/dispatch.h"
#include "kernels/embedding/backends.h"
#include "kernels/residual/dropout.h"

namespace fovea {
namespace {

/// Bytes of the rows that tokens choose of a table, and as many of the positions' table.
int64 rows_of(const View& tokens, const View& table, const View& position_table) {
  const int64 row =
      table.size(1) * (size_of(table.dtype()) + (position_table ? size_of(position_table.dtype()) : 0));
  return tokens.size(0) * row + bytes_of(tokens) * (position_table ? 2 : 1);
}

}  // namespace

void embedding(Stream& stream, const Embedding& op) {
  FOVEA_CHECK(op.out.rank() == 2, "embedding: out is {}, wanted (N, C)", op.out.describe());
  const int64 N = op.out.size(0), C = op.out.size(1);
  FOVEA_CHECK(op.table.rank() == 2, "embedding: table is {}, wanted (V, C)", op.table.describe());
  expect(op.tokens, "embedding: tokens", {N}, DType::i32);
  expect(op.table, "embedding: table", {op.table.size(0), C});
  expect_storage(stream, op.table, "embedding: table");
  expect_storage(stream, op.out, "embedding: out");
  if (op.position_table) {
    FOVEA_CHECK(op.position_table.rank() == 2, "embedding: position_table is {}, wanted (P, C)",
                op.position_table.describe());
    expect(op.positions, "embedding: positions", {N}, DType::i32);
    expect(op.position_table, "embedding: position_table", {op.position_table.size(0), C});
    expect_storage(stream, op.position_table, "embedding: position_table");
  }
  expect_dropout(op.dropout, "embedding: dropout");
  const Work work{"embedding", 2.0 * static_cast<double>(N * C), 0,
                  rows_of(op.tokens, op.table, op.position_table) + bytes_of(op.out)};
  enqueue_on_backend(stream, work, op, reference::run, cpu::run, cuda::run);
}

void embedding_backward(Stream& stream, const EmbeddingBackward& op) {
  FOVEA_CHECK(op.dout.rank() == 2, "embedding_backward: dout is {}, wanted (N, C)", op.dout.describe());
  const int64 N = op.dout.size(0), C = op.dout.size(1);
  FOVEA_CHECK(op.dtable.rank() == 2, "embedding_backward: dtable is {}, wanted (V, C)", op.dtable.describe());
  expect(op.tokens, "embedding_backward: tokens", {N}, DType::i32);
  expect(op.dtable, "embedding_backward: dtable", {op.dtable.size(0), C});
  expect_storage(stream, op.dout, "embedding_backward: dout");
  expect_f32(stream, op.dtable, "embedding_backward: dtable");
  if (op.dposition_table) {
    FOVEA_CHECK(op.dposition_table.rank() == 2, "embedding_backward: dposition_table is {}, wanted (P, C)",
                op.dposition_table.describe());
    expect(op.positions, "embedding_backward: positions", {N}, DType::i32);
    expect(op.dposition_table, "embedding_backward: dposition_table", {op.dposition_table.size(0), C});
    expect_f32(stream, op.dposition_table, "embedding_backward: dposition_table");
  }
  expect_dropout(op.dropout, "embedding_backward: dropout");
  const Work work{"embedding_backward", 2.0 * static_cast<double>(N * C),
                  stream.device() == Device::cuda ? cuda::scratch_bytes(op) : 0,
                  2 * rows_of(op.tokens, op.dtable, op.dposition_table) + bytes_of(op.dout)};
  enqueue_on_backend(stream, work, op, reference::run, cpu::run, cuda::run);
}

}  // namespace fovea
