#include "kernels/layer_norm/layer_norm.h"

#include "kernels/dispatch.h"
#include "kernels/layer_norm/backends.h"

namespace fovea {

void layer_norm(Stream& stream, const LayerNorm& op) {
  FOVEA_CHECK(op.x.rank() == 2, "layer_norm: x is {}, wanted (N, C)", op.x.describe());
  const int64 N = op.x.size(0), C = op.x.size(1);
  expect(op.weight, "layer_norm: weight", {C});
  expect_optional(op.bias, "layer_norm: bias", {C});
  expect(op.y, "layer_norm: y", {N, C});
  expect(op.mean, "layer_norm: mean", {N});
  expect(op.inverse_deviation, "layer_norm: inverse_deviation", {N});
  expect_storage(stream, op.x, "layer_norm: x");
  expect_storage(stream, op.y, "layer_norm: y");
  expect_f32(stream, op.weight, "layer_norm: weight");
  if (op.bias) expect_f32(stream, op.bias, "layer_norm: bias");
  expect_f32(stream, op.mean, "layer_norm: mean");
  expect_f32(stream, op.inverse_deviation, "layer_norm: inverse_deviation");
  const Work work{"layer_norm", 8.0 * static_cast<double>(N * C),
                  scratch_on_backend(stream, op, cpu::scratch_bytes, nullptr),
                  bytes_of(op.x, op.weight, op.bias, op.y, op.mean, op.inverse_deviation)};
  enqueue_on_backend(stream, work, op, reference::run, cpu::run, cuda::run);
}

void layer_norm_backward(Stream& stream, const LayerNormBackward& op) {
  FOVEA_CHECK(op.x.rank() == 2, "layer_norm_backward: x is {}, wanted (N, C)", op.x.describe());
  const int64 N = op.x.size(0), C = op.x.size(1);
  expect(op.weight, "layer_norm_backward: weight", {C});
  expect(op.mean, "layer_norm_backward: mean", {N});
  expect(op.inverse_deviation, "layer_norm_backward: inverse_deviation", {N});
  expect(op.dy, "layer_norm_backward: dy", {N, C});
  expect(op.dx, "layer_norm_backward: dx", {N, C});
  expect(op.dweight, "layer_norm_backward: dweight", {C});
  expect_optional(op.dbias, "layer_norm_backward: dbias", {C});
  expect_storage(stream, op.x, "layer_norm_backward: x");
  expect_storage(stream, op.dy, "layer_norm_backward: dy");
  expect_storage(stream, op.dx, "layer_norm_backward: dx");
  expect_f32(stream, op.weight, "layer_norm_backward: weight");
  expect_f32(stream, op.mean, "layer_norm_backward: mean");
  expect_f32(stream, op.inverse_deviation, "layer_norm_backward: inverse_deviation");
  expect_f32(stream, op.dweight, "layer_norm_backward: dweight");
  if (op.dbias) expect_f32(stream, op.dbias, "layer_norm_backward: dbias");
  const Work work{"layer_norm_backward", 14.0 * static_cast<double>(N * C),
                  scratch_on_backend(stream, op, cpu::scratch_bytes, cuda::scratch_bytes),
                  bytes_of(op.x, op.weight, op.mean, op.inverse_deviation, op.dy, op.dx,
                           op.accumulate ? op.dx : View(), op.dweight, op.dweight, op.dbias, op.dbias)};
  enqueue_on_backend(stream, work, op, reference::run, cpu::run, cuda::run);
}

}  // namespace fovea
