#include "kernels/cuda/rows.h"
#include "kernels/matmul/backends.h"
#include "kernels/matmul/cublaslt.h"

namespace fovea::cuda {
namespace {

constexpr int kThreads = 256;
dim3 blocks_for(int64 n) { return dim3(static_cast<unsigned>(ceil_div(n, kThreads))); }

/// y (n) = x
template <class To, class From>
__global__ void convert_bias(To* y, const From* x, int64 n) {
  const int64 i = int64{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) y[i] = from_f32<To>(to_f32(x[i]));
}

/// c (M, N) = bias, or += bias: a product whose sum has no terms.
template <class C, class Bias>
__global__ void no_terms(Rows<C> c, const Bias* bias, int64 M, int64 N, bool accumulate) {
  const int64 i = int64{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= M * N) return;
  C& element = c[i / N][i % N];
  const float start = bias ? to_f32(bias[i % N]) : 0.0f;
  element = from_f32<C>(accumulate ? to_f32(element) + start : start);
}

bool lies_well(const View& bias) {
  return static_cast<int64>(reinterpret_cast<uintptr_t>(bias.data())) % kBiasAlignment == 0;
}

/// The bias as the library takes it: in c's dtype, at an address that it likes.
View library_bias(const Execution& execution, const MatMul& op, std::byte* copy) {
  if (!op.bias || (op.bias.dtype() == op.c.dtype() && lies_well(op.bias))) return op.bias;
  const int64 n = op.bias.size(0);
  const View converted(copy, op.c.dtype(), {n}, op.bias.device());
  with_storage(op.c.dtype(), op.bias.dtype(), [&]<class To, class From>() {
    launch(execution, "matmul: bias", {blocks_for(n), dim3(kThreads)}, convert_bias<To, From>,
           static_cast<To*>(converted.data()), static_cast<const From*>(op.bias.data()), n);
  });
  return converted;
}

void multiply_nothing(const Execution& execution, const MatMul& op) {
  const int64 M = op.c.size(0), N = op.c.size(1);
  if (op.accumulate && !op.bias) return;
  with_storage(op.c.dtype(), op.bias ? op.bias.dtype() : DType::f32, [&]<class C, class Bias>() {
    launch(execution, "matmul: no terms", {blocks_for(M * N), dim3(kThreads)}, no_terms<C, Bias>,
           Rows<C>(op.c), static_cast<const Bias*>(op.bias.data()), M, N, op.accumulate);
  });
}

}  // namespace

int64 multiply_scratch(const MatMul& op) {
  return round_up(product_workspace(op), kWorkspaceAlignment) + kWorkspaceAlignment +
         (op.bias ? round_up(op.c.size(1) * int64{sizeof(float)}, 64) : 0);
}

void multiply(Execution& execution, const MatMul& op, std::byte* scratch) {
  if (op.c.elements() == 0) return;
  if (op.a.elements() == 0) return multiply_nothing(execution, op);
  const auto address = static_cast<int64>(reinterpret_cast<uintptr_t>(scratch));
  std::byte* workspace = scratch + (round_up(address, kWorkspaceAlignment) - address);
  MatMul product = op;
  product.bias =
      library_bias(execution, op, workspace + round_up(product_workspace(op), kWorkspaceAlignment));
  multiply_by_library(product, workspace, stream_of(execution));
}

int64 scratch_bytes(const MatMul& op) { return scratch_size<std::byte>(multiply_scratch(op)); }

void run(Execution& execution, const MatMul& op) {
  multiply(execution, op, execution.scratch<std::byte>(multiply_scratch(op)));
}

}  // namespace fovea::cuda
