#include "kernels/adamw/adamw.h"

#include "kernels/adamw/backends.h"
#include "kernels/dispatch.h"

namespace fovea {
namespace {

void expect_ascending(const std::vector<Range>& ranges, int64 n) {
  for (int64 at = 0; const Range& range : ranges) {
    FOVEA_CHECK(at <= range.begin && range.begin <= range.end && range.end <= n,
                "adamw: [{}, {}) of {} decays after {}", range.begin, range.end, n, at);
    at = range.end;
  }
}

}  // namespace

void adamw(Stream& stream, const AdamW& op) {
  FOVEA_CHECK(op.weight.rank() == 1, "adamw: weight is {}, wanted (n)", op.weight.describe());
  const int64 n = op.weight.size(0);
  expect(op.gradient, "adamw: gradient", {n});
  expect(op.m, "adamw: m", {n});
  expect(op.v, "adamw: v", {n});
  expect_f32(stream, op.gradient, "adamw: gradient");
  expect_f32(stream, op.m, "adamw: m");
  expect_f32(stream, op.v, "adamw: v");
  expect_f32(stream, op.weight, "adamw: weight");
  expect_optional(op.compute_weight, "adamw: compute_weight", {n});
  if (op.compute_weight) expect_storage(stream, op.compute_weight, "adamw: compute_weight");
  if (op.gradient_factor) expect(op.gradient_factor, "adamw: gradient_factor", {1}, DType::f64);
  if (op.go) expect(op.go, "adamw: go", {1}, DType::i32);
  if (op.decayed) expect_ascending(*op.decayed, n);
  FOVEA_CHECK(op.step >= 1, "adamw: step {}, counted from 1", op.step);
  const Work work{"adamw", 16.0 * static_cast<double>(n),
                  scratch_on_backend(stream, op, cpu::scratch_bytes, cuda::scratch_bytes),
                  bytes_of(op.gradient, op.m, op.m, op.v, op.v, op.weight, op.weight, op.compute_weight)};
  enqueue_on_backend(stream, work, op, reference::run, cpu::run, cuda::run);
}

void gate_update(Stream& stream, const UpdateGate& op) {
  expect(op.squares, "gate_update: squares", {1}, DType::f64);
  if (op.loss) expect(op.loss, "gate_update: loss", {1}, DType::f64);
  expect(op.factor, "gate_update: factor", {1}, DType::f64);
  expect(op.go, "gate_update: go", {1}, DType::i32);
  const Work work{"gate_update", 0, 0, bytes_of(op.squares, op.loss, op.factor, op.go)};
  enqueue_on_backend(stream, work, op, reference::run, cpu::run, cuda::run);
}

}  // namespace fovea
