#include "kernels/matmul/backends.h"
#include "kernels/matmul/oracle.h"

namespace fovea::reference {

void run(Execution&, const MatMul& op) {
  const Matrix a = op.transpose_a ? Matrix(to_matrix(op.a).transpose()) : to_matrix(op.a);
  const Matrix b = op.transpose_b ? Matrix(to_matrix(op.b).transpose()) : to_matrix(op.b);
  const Matrix product = a * b;
  for (int64 m = 0; m < op.c.size(0); ++m)
    for (int64 n = 0; n < op.c.size(1); ++n) {
      const double start = (op.accumulate ? load(op.c, {m, n}) : 0) + (op.bias ? load(op.bias, {n}) : 0);
      store(op.c, {m, n}, start + product(m, n));
    }
}

void run(Execution&, const SumRows& op) {
  for (int64 n = 0; n < op.dy.size(0); ++n)
    for (int64 c = 0; c < op.dy.size(1); ++c) store(op.dbias, {c}, load(op.dbias, {c}) + load(op.dy, {n, c}));
}

}  // namespace fovea::reference
