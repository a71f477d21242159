#include "kernels/residual/backends.h"

namespace fovea::reference {

void run(Execution&, const ResidualAdd& op) {
  const int64 N = op.x.size(0), C = op.x.size(1);
  for (int64 n = 0; n < N; ++n)
    for (int64 c = 0; c < C; ++c) {
      const bool keep = dropout_keeps(op.dropout, dropout_element(op.dropout, n, C, c));
      const double added = keep ? load(op.y, {n, c}) * dropout_scale(op.dropout) : 0;
      store(op.out, {n, c}, load(op.x, {n, c}) + added);
    }
}

void run(Execution&, const ResidualAddBackward& op) {
  const int64 N = op.dout.size(0), C = op.dout.size(1);
  for (int64 n = 0; n < N; ++n)
    for (int64 c = 0; c < C; ++c) {
      // forward: out = x + (keep ? y * scale : 0)
      const bool keep = dropout_keeps(op.dropout, dropout_element(op.dropout, n, C, c));
      store(op.dy, {n, c}, keep ? load(op.dout, {n, c}) * dropout_scale(op.dropout) : 0);
    }
}

}  // namespace fovea::reference
