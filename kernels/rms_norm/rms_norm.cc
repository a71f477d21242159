#include "kernels/rms_norm/rms_norm.h"

#include "kernels/dispatch.h"
#include "kernels/rms_norm/backends.h"

namespace fovea {

void rms_norm(Stream& stream, const RmsNorm& op) {
  FOVEA_CHECK(op.x.rank() == 2, "rms_norm: x is {}, wanted (N, C)", op.x.describe());
  const int64 N = op.x.size(0), C = op.x.size(1);
  expect(op.weight, "rms_norm: weight", {C});
  expect(op.y, "rms_norm: y", {N, C});
  expect(op.inverse_rms, "rms_norm: inverse_rms", {N});
  expect_storage(stream, op.x, "rms_norm: x");
  expect_storage(stream, op.y, "rms_norm: y");
  expect_f32(stream, op.weight, "rms_norm: weight");
  expect_f32(stream, op.inverse_rms, "rms_norm: inverse_rms");
  const Work work{"rms_norm", 4.0 * static_cast<double>(N * C),
                  scratch_on_backend(stream, op, cpu::scratch_bytes, nullptr),
                  bytes_of(op.x, op.weight, op.y, op.inverse_rms)};
  enqueue_on_backend(stream, work, op, reference::run, cpu::run, cuda::run);
}

void rms_norm_backward(Stream& stream, const RmsNormBackward& op) {
  FOVEA_CHECK(op.x.rank() == 2, "rms_norm_backward: x is {}, wanted (N, C)", op.x.describe());
  const int64 N = op.x.size(0), C = op.x.size(1);
  expect(op.weight, "rms_norm_backward: weight", {C});
  expect(op.inverse_rms, "rms_norm_backward: inverse_rms", {N});
  expect(op.dy, "rms_norm_backward: dy", {N, C});
  expect(op.dx, "rms_norm_backward: dx", {N, C});
  expect(op.dweight, "rms_norm_backward: dweight", {C});
  expect_storage(stream, op.x, "rms_norm_backward: x");
  expect_storage(stream, op.dy, "rms_norm_backward: dy");
  expect_storage(stream, op.dx, "rms_norm_backward: dx");
  expect_f32(stream, op.weight, "rms_norm_backward: weight");
  expect_f32(stream, op.inverse_rms, "rms_norm_backward: inverse_rms");
  expect_f32(stream, op.dweight, "rms_norm_backward: dweight");
  const Work work{"rms_norm_backward", 10.0 * static_cast<double>(N * C),
                  scratch_on_backend(stream, op, cpu::scratch_bytes, cuda::scratch_bytes),
                  bytes_of(op.x, op.weight, op.inverse_rms, op.dy, op.dx, op.accumulate ? op.dx : View(),
                           op.dweight, op.dweight)};
  enqueue_on_backend(stream, work, op, reference::run, cpu::run, cuda::run);
}

}  // namespace fovea
