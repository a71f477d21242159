#include "kernels/rope/rope.h"

#include "kernels/dispatch.h"
#include "kernels/rope/backends.h"

namespace fovea {

void rope(Stream& stream, const Rope& op) {
  FOVEA_CHECK(op.x.rank() == 3, "rope: x is {}, wanted (N, H, D)", op.x.describe());
  FOVEA_CHECK(op.cosine.rank() == 2, "rope: cosine is {}, wanted (P, R / 2)", op.cosine.describe());
  const int64 N = op.x.size(0), H = op.x.size(1), D = op.x.size(2);
  const int64 R = 2 * op.cosine.size(1);
  FOVEA_CHECK(R <= D, "rope: {} elements to rotate in heads of {}", R, D);
  expect(op.positions, "rope: positions", {N}, DType::i32);
  expect(op.sine, "rope: sine", {op.cosine.size(0), R / 2}, op.cosine.dtype());
  expect(op.y, "rope: y", {N, H, D}, op.x.dtype());
  expect_storage(stream, op.x, "rope: x");
  expect_f32(stream, op.cosine, "rope: cosine");
  const Work work{"rope", 3.0 * static_cast<double>(N * H * R), 0, bytes_of(op.x, op.y, op.positions)};
  enqueue_on_backend(stream, work, op, reference::run, cpu::run, cuda::run);
}

void rope_table(Stream& stream, const RopeTable& op) {
  FOVEA_CHECK(op.cosine.rank() == 2, "rope_table: cosine is {}, wanted (P, R / 2)", op.cosine.describe());
  FOVEA_CHECK(static_cast<int64>(op.frequencies.size()) == op.cosine.size(1),
              "rope_table: {} frequencies for {} planes", op.frequencies.size(), op.cosine.size(1));
  expect(op.sine, "rope_table: sine", {op.cosine.size(0), op.cosine.size(1)}, op.cosine.dtype());
  expect_f32(stream, op.cosine, "rope_table: cosine");
  // Once per run and in f64 whatever the storage: every backend shares it.
  enqueue_on_backend(stream, Work{"rope_table"}, op, reference::run, reference::run, cuda::run);
}

}  // namespace fovea
