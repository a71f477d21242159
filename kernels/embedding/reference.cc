#include "kernels/embedding/backends.h"
#include "kernels/residual/dropout.h"

namespace fovea::reference {
namespace {

double factor(const Dropout& dropout, int64 n, int64 C, int64 c) {
  return dropout_keeps(dropout, dropout_element(dropout, n, C, c)) ? dropout_scale(dropout) : 0;
}

}  // namespace

void run(Execution&, const Embedding& op) {
  const int64 N = op.out.size(0), C = op.out.size(1);
  for (int64 n = 0; n < N; ++n)
    for (int64 c = 0; c < C; ++c) {
      const int64 token = op.tokens.data<int32>()[n];
      double sum = static_cast<double>(op.scale) * load(op.table, {token, c});
      if (op.position_table) sum += load(op.position_table, {op.positions.data<int32>()[n], c});
      const double kept = factor(op.dropout, n, C, c);
      store(op.out, {n, c}, kept > 0 ? kept * sum : 0);
    }
}

void run(Execution&, const EmbeddingBackward& op) {
  const int64 N = op.dout.size(0), C = op.dout.size(1);
  for (int64 n = 0; n < N; ++n)
    for (int64 c = 0; c < C; ++c) {
      const double kept = factor(op.dropout, n, C, c);
      if (kept == 0) continue;
      // forward: out = kept * (scale * table[token] + position_table[position])
      const double dsum = kept * load(op.dout, {n, c});
      const int64 token = op.tokens.data<int32>()[n];
      store(op.dtable, {token, c}, load(op.dtable, {token, c}) + static_cast<double>(op.scale) * dsum);
      if (!op.dposition_table) continue;
      const int64 position = op.positions.data<int32>()[n];
      store(op.dposition_table, {position, c}, load(op.dposition_table, {position, c}) + dsum);
    }
}

}  // namespace fovea::reference
