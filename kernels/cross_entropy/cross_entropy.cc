#include "kernels/cross_entropy/cross_entropy.h"

#include "kernels/cross_entropy/backends.h"
#include "kernels/dispatch.h"

namespace fovea {
namespace {

/// Checks the head's own operands, which both operations have.
template <class Op>
void expect_head(Stream& stream, const Op& op, std::string_view name) {
  FOVEA_CHECK(op.hidden.rank() == 2 && op.weight.rank() == 2, "{}: hidden is {}, weight {}, wanted matrices",
              name, op.hidden.describe(), op.weight.describe());
  const int64 V = op.weight.size(0), C = op.hidden.size(1);
  expect(op.weight, "linear head: weight", {V, C}, op.hidden.dtype());
  expect_optional(op.bias, "linear head: bias", {V});
  expect_storage(stream, op.hidden, "linear head: hidden");
  if (op.bias) expect_f32(stream, op.bias, "linear head: bias");
  FOVEA_CHECK(op.softcap >= 0, "{}: softcap {}", name, op.softcap);
}

template <class Op>
double product_flops(const Op& op) {
  return 2.0 * static_cast<double>(op.hidden.elements()) * static_cast<double>(op.weight.size(0));
}

}  // namespace

void linear_cross_entropy(Stream& stream, const LinearCrossEntropy& op) {
  expect_head(stream, op, "linear_cross_entropy");
  const int64 N = op.hidden.size(0), C = op.hidden.size(1), V = op.weight.size(0);
  expect(op.targets, "linear_cross_entropy: targets", {N}, DType::i32);
  expect(op.losses, "linear_cross_entropy: losses", {N});
  expect_f32(stream, op.losses, "linear_cross_entropy: losses");
  double products = 1;
  if (op.dhidden) {
    expect(op.dhidden, "linear_cross_entropy: dhidden", {N, C}, op.hidden.dtype());
    products += 1;
  }
  if (op.dweight) {
    FOVEA_CHECK(op.dhidden, "linear_cross_entropy: dweight without dhidden");
    expect(op.dweight, "linear_cross_entropy: dweight", {V, C});
    expect_f32(stream, op.dweight, "linear_cross_entropy: dweight");
    FOVEA_CHECK(op.accumulate_dweight || N > 0, "linear_cross_entropy: dweight of no rows");
    products += 1;
  }
  if (op.dbias) {
    FOVEA_CHECK(op.dhidden, "linear_cross_entropy: dbias without dhidden");
    expect(op.dbias, "linear_cross_entropy: dbias", {V});
    expect_f32(stream, op.dbias, "linear_cross_entropy: dbias");
  }
  const Work work{"linear_cross_entropy", products * product_flops(op),
                  scratch_on_backend(stream, op, cpu::scratch_bytes, cuda::scratch_bytes),
                  bytes_of(op.hidden, op.weight, op.bias, op.targets, op.losses, op.dhidden, op.dweight,
                           op.dweight, op.dbias, op.dbias),
                  op.hidden.dtype()};
  enqueue_on_backend(stream, work, op, reference::run, cpu::run, cuda::run);
}

void linear_logits(Stream& stream, const LinearLogits& op) {
  expect_head(stream, op, "linear_logits");
  expect(op.logits, "linear_logits: logits", {op.hidden.size(0), op.weight.size(0)});
  expect_f32(stream, op.logits, "linear_logits: logits");
  const Work work{"linear_logits", product_flops(op),
                  scratch_on_backend(stream, op, cpu::scratch_bytes, cuda::scratch_bytes),
                  bytes_of(op.hidden, op.weight, op.bias, op.logits), op.hidden.dtype()};
  enqueue_on_backend(stream, work, op, reference::run, cpu::run, cuda::run);
}

}  // namespace fovea
