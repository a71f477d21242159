#include "kernels/residual/residual.h"

#include "kernels/dispatch.h"
#include "kernels/residual/backends.h"

namespace fovea {

void expect_dropout(const Dropout& dropout, std::string_view name) {
  FOVEA_CHECK(dropout.probability >= 0 && dropout.probability < 1,
              "{}: dropout probability {} is not in [0, 1)", name, dropout.probability);
}

void residual_add(Stream& stream, const ResidualAdd& op) {
  FOVEA_CHECK(op.x.rank() == 2, "residual_add: x is {}, wanted (N, C)", op.x.describe());
  const int64 N = op.x.size(0), C = op.x.size(1);
  expect(op.y, "residual_add: y", {N, C});
  expect(op.out, "residual_add: out", {N, C}, op.x.dtype());
  expect_storage(stream, op.x, "residual_add: x");
  expect_storage(stream, op.y, "residual_add: y");
  expect_dropout(op.dropout, "residual_add");
  const Work work{"residual_add", static_cast<double>(N * C), 0, bytes_of(op.x, op.y, op.out)};
  enqueue_on_backend(stream, work, op, reference::run, cpu::run, cuda::run);
}

void residual_add_backward(Stream& stream, const ResidualAddBackward& op) {
  FOVEA_CHECK(op.dout.rank() == 2, "residual_add_backward: dout is {}, wanted (N, C)", op.dout.describe());
  const int64 N = op.dout.size(0), C = op.dout.size(1);
  expect(op.dy, "residual_add_backward: dy", {N, C});
  expect_storage(stream, op.dout, "residual_add_backward: dout");
  expect_storage(stream, op.dy, "residual_add_backward: dy");
  expect_dropout(op.dropout, "residual_add_backward");
  const Work work{"residual_add_backward", static_cast<double>(N * C), 0, bytes_of(op.dout, op.dy)};
  enqueue_on_backend(stream, work, op, reference::run, cpu::run, cuda::run);
}

}  // namespace fovea
