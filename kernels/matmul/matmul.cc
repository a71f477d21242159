#include "kernels/matmul/matmul.h"

#include "kernels/dispatch.h"
#include "kernels/matmul/backends.h"

namespace fovea {
namespace {

void expect_matrix(const View& view, std::string_view name) {
  FOVEA_CHECK(view.rank() == 2, "{} is {}, wanted a matrix", name, view.describe());
  FOVEA_CHECK(view.size(0) <= 1 || view.stride(0) >= view.size(1), "{}: rows overlap", name);
}

/// In a layer y = x W^T these are the output, the gradient by x, and that by W.
std::string_view name_of(const MatMul& op) {
  if (op.transpose_a) return op.transpose_b ? "matmul a^T b^T" : "matmul a^T b";
  return op.transpose_b ? "matmul a b^T" : "matmul a b";
}

}  // namespace

void matmul(Stream& stream, const MatMul& op) {
  expect_matrix(op.a, "matmul: a");
  expect_matrix(op.b, "matmul: b");
  expect_matrix(op.c, "matmul: c");
  const int64 M = op.c.size(0), N = op.c.size(1), K = op.a.size(op.transpose_a ? 0 : 1);
  expect(op.a, "matmul: a", {op.transpose_a ? K : M, op.transpose_a ? M : K});
  expect(op.b, "matmul: b", {op.transpose_b ? N : K, op.transpose_b ? K : N}, op.a.dtype());
  expect_optional(op.bias, "matmul: bias", {N});
  expect_storage(stream, op.a, "matmul: a");
  expect_storage(stream, op.c, "matmul: c");
  if (op.bias) expect_storage(stream, op.bias, "matmul: bias");
  FOVEA_CHECK(
      stream.backend() == Backend::reference || op.c.dtype() == DType::f32 || op.c.dtype() == op.a.dtype(),
      "matmul: c is {} and a is {}", name_of(op.c.dtype()), name_of(op.a.dtype()));
  const double flops = 2.0 * static_cast<double>(M) * static_cast<double>(N) * static_cast<double>(K);
  const Work work{name_of(op), flops, scratch_on_backend(stream, op, cpu::scratch_bytes, cuda::scratch_bytes),
                  bytes_of(op.a, op.b, op.bias, op.c, op.accumulate ? op.c : View()), op.a.dtype()};
  enqueue_on_backend(stream, work, op, reference::run, cpu::run, cuda::run);
}

void sum_rows(Stream& stream, const SumRows& op) {
  FOVEA_CHECK(op.dy.rank() == 2, "sum_rows: dy is {}, wanted (N, C)", op.dy.describe());
  expect(op.dbias, "sum_rows: dbias", {op.dy.size(1)});
  expect_storage(stream, op.dy, "sum_rows: dy");
  expect_f32(stream, op.dbias, "sum_rows: dbias");
  const Work work{"sum_rows", static_cast<double>(op.dy.elements()),
                  scratch_on_backend(stream, op, cpu::scratch_bytes, cuda::scratch_bytes),
                  bytes_of(op.dy, op.dbias, op.dbias)};
  enqueue_on_backend(stream, work, op, reference::run, cpu::run, cuda::run);
}

}  // namespace fovea
