#include "kernels/cuda/launch.h"
#include "kernels/cuda/partial_rows.h"
#include "kernels/cuda/rows.h"
#include "kernels/rms_norm/backends.h"

namespace fovea::cuda {
namespace {

constexpr int kWidth = 4;                    // elements of a piece
constexpr int kHeld = 4, kHeldBackward = 2;  // pieces of a row that a thread has in registers
constexpr int kThreads = 1024,
              kThreadsBackward = 512;  // of a block, at most: registers are divided among them

template <class X, class Y>
struct Forward {
  Rows<const X> x;
  const float* weight;  // (C)
  Rows<Y> y;
  float* inverse_rms;  // (N)
  int64 N;
  int C;
  float epsilon, weight_offset;
  bool aligned;
};

template <class X, class Y>
__global__ void __launch_bounds__(kThreads) rms_norm_kernel(Forward<X, Y> op) {
  __shared__ float shared[kWarp];
  const int64 n = row_of_thread();
  if (n >= op.N) return;
  const HeldRow<X, kWidth, kHeld> x(op.x[n], op.C, op.aligned);
  float squares[1] = {0};
  for_each_piece<kWidth, kHeld>(op.C, [&](int i, int k) {
    const Piece<kWidth> v = x.piece(i, k);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) squares[0] = fmaf(v[j], v[j], squares[0]);
  });
  sum_over_row(squares, shared);
  const float r = 1 / sqrtf(squares[0] / static_cast<float>(op.C) + op.epsilon);
  for_each_piece<kWidth, kHeld>(op.C, [&](int i, int k) {
    Piece<kWidth> v = x.piece(i, k);
    const Piece<kWidth> w = load_piece<kWidth>(op.weight, i, op.C, op.aligned);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) v[j] = v[j] * r * (op.weight_offset + w[j]);
    store_piece(op.y[n], i, op.C, op.aligned, v);
  });
  if (threadIdx.x == 0) op.inverse_rms[n] = r;
}

template <class X, class Y>
struct Backward {
  Rows<const X> x;
  const float *weight, *inverse_rms;  // (C), (N)
  Rows<const Y> dy;
  AnyRows dx;
  float* dweight;  // (parts, C)
  int64 N, rows_per_part;
  int C;
  float weight_offset;
  bool accumulate, aligned;
};

/// A part of the rows, one after another, by threads that keep their columns' sums.
template <class X, class Y>
__global__ void __launch_bounds__(kThreadsBackward) rms_norm_backward_kernel(Backward<X, Y> op) {
  __shared__ float shared[kWarp];
  const int64 part = row_of_thread();
  const int64 begin = part * op.rows_per_part, end = min(op.N, begin + op.rows_per_part);
  if (begin >= end) return;
  SummedRow<kWidth, kHeldBackward> dweight(op.dweight + part * op.C, op.C);
  for (int64 n = begin; n < end; ++n) {
    const HeldRow<X, kWidth, kHeldBackward> x(op.x[n], op.C, op.aligned);
    const HeldRow<Y, kWidth, kHeldBackward> dy(op.dy[n], op.C, op.aligned);
    // forward: y = x * r * (weight_offset + weight)
    const float r = op.inverse_rms[n];
    float dot[1] = {0};
    for_each_piece<kWidth, kHeldBackward>(op.C, [&](int i, int k) {
      const Piece<kWidth> xs = x.piece(i, k), dys = dy.piece(i, k);
      const Piece<kWidth> w = load_piece<kWidth>(op.weight, i, op.C, op.aligned);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) dot[0] = fmaf(dys[j] * (op.weight_offset + w[j]), xs[j], dot[0]);
    });
    sum_over_row(dot, shared);
    // forward: r = 1 / sqrt(mean(x^2) + epsilon), so dr/dx = -r^3 x / C
    const float factor = dot[0] * r * r / static_cast<float>(op.C);
    for_each_piece<kWidth, kHeldBackward>(op.C, [&](int i, int k) {
      const Piece<kWidth> xs = x.piece(i, k), dys = dy.piece(i, k);
      const Piece<kWidth> w = load_piece<kWidth>(op.weight, i, op.C, op.aligned);
      Piece<kWidth> d, dw;
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        dw[j] = dys[j] * (xs[j] * r);
        d[j] = r * (dys[j] * (op.weight_offset + w[j]) - factor * xs[j]);
      }
      if (op.accumulate) d += load_piece<kWidth>(op.dx, n, i, op.C, op.aligned);
      store_piece(op.dx, n, i, op.C, op.aligned, d);
      dweight.add(i, k, dw);
    });
  }
  dweight.store();
}

}  // namespace

void run(Execution& execution, const RmsNorm& op) {
  const int64 N = op.x.size(0), C = op.x.size(1);
  const RowBlock block(C, kWidth, kHeld / 2, kThreads);
  with_storage(op.x.dtype(), op.y.dtype(), [&]<class X, class Y>() {
    const Forward<X, Y> forward{Rows<const X>(op.x),
                                op.weight.data<float>(),
                                Rows<Y>(op.y),
                                op.inverse_rms.data<float>(),
                                N,
                                static_cast<int>(C),
                                op.epsilon,
                                op.weight_offset,
                                pieces_aligned(kWidth, op.x, op.weight, op.y)};
    launch(execution, "rms_norm", block.shape(N), rms_norm_kernel<X, Y>, forward);
  });
}

int64 scratch_bytes(const RmsNormBackward& op) {
  const int64 N = op.x.size(0), C = op.x.size(1);
  return scratch_size<float>(SummedParts(N, RowBlock(C, kWidth, kHeldBackward, kThreadsBackward)).count() *
                             C);
}

void run(Execution& execution, const RmsNormBackward& op) {
  const int64 N = op.x.size(0), C = op.x.size(1);
  const RowBlock block(C, kWidth, kHeldBackward, kThreadsBackward);
  const SummedParts parts(N, block);
  auto* dweight = execution.scratch<float>(parts.count() * C);  // (parts, C)
  with_storage(op.x.dtype(), op.dy.dtype(), [&]<class X, class Y>() {
    const Backward<X, Y> backward{Rows<const X>(op.x),
                                  op.weight.data<float>(),
                                  op.inverse_rms.data<float>(),
                                  Rows<const Y>(op.dy),
                                  AnyRows(op.dx),
                                  dweight,
                                  N,
                                  parts.rows_per_part,
                                  static_cast<int>(C),
                                  op.weight_offset,
                                  op.accumulate,
                                  pieces_aligned(kWidth, op.x, op.weight, op.dy, op.dx)};
    launch(execution, "rms_norm_backward", block.shape(parts.count()), rms_norm_backward_kernel<X, Y>,
           backward);
  });
  add_partial_rows(execution, dweight, parts.count(), C, op.dweight.data<float>());
}

}  // namespace fovea::cuda
