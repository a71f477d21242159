#include "kernels/activation/activation.h"

#include "kernels/activation/backends.h"
#include "kernels/dispatch.h"

namespace fovea {

void activation(Stream& stream, const Activation& op) {
  FOVEA_CHECK(op.gate.rank() == 2, "activation: gate is {}, wanted (N, C)", op.gate.describe());
  const int64 N = op.gate.size(0), C = op.gate.size(1);
  const DType dtype = op.gate.dtype();
  expect_storage(stream, op.gate, "activation: gate");
  if (op.up) expect(op.up, "activation: up", {N, C}, dtype);
  expect(op.out, "activation: out", {N, C}, dtype);
  const Work work{"activation", (op.up ? 5.0 : 4.0) * static_cast<double>(N * C), 0,
                  bytes_of(op.gate, op.up, op.out)};
  enqueue_on_backend(stream, work, op, reference::run, cpu::run, cuda::run);
}

void activation_backward(Stream& stream, const ActivationBackward& op) {
  FOVEA_CHECK(op.gate.rank() == 2, "activation_backward: gate is {}, wanted (N, C)", op.gate.describe());
  const int64 N = op.gate.size(0), C = op.gate.size(1);
  const DType dtype = op.gate.dtype();
  expect_storage(stream, op.gate, "activation_backward: gate");
  expect(op.dout, "activation_backward: dout", {N, C}, dtype);
  expect(op.dgate, "activation_backward: dgate", {N, C}, dtype);
  FOVEA_CHECK(static_cast<bool>(op.up) == static_cast<bool>(op.dup),
              "activation_backward: up and dup come together: {} and {}", op.up.describe(),
              op.dup.describe());
  if (op.up) {
    expect(op.up, "activation_backward: up", {N, C}, dtype);
    expect(op.dup, "activation_backward: dup", {N, C}, dtype);
  }
  const Work work{"activation_backward", (op.up ? 9.0 : 7.0) * static_cast<double>(N * C), 0,
                  bytes_of(op.gate, op.up, op.dout, op.dgate, op.dup)};
  enqueue_on_backend(stream, work, op, reference::run, cpu::run, cuda::run);
}

}  // namespace fovea
