#include "kernels/cuda/launch.h"
#include "kernels/cuda/partial_rows.h"
#include "kernels/cuda/rows.h"
#include "kernels/layer_norm/backends.h"

namespace fovea::cuda {
namespace {

constexpr int kWidth = 4;                    // elements of a piece
constexpr int kHeld = 4, kHeldBackward = 2;  // pieces of a row that a thread has in registers
constexpr int kThreads = 1024,
              kThreadsBackward = 512;  // of a block, at most: registers are divided among them

template <class X, class Y>
struct Forward {
  Rows<const X> x;
  const float *weight, *bias;  // (C) each; bias may be absent
  Rows<Y> y;
  float *mean, *inverse_deviation;  // (N) each
  int64 N;
  int C;
  float epsilon;
  bool aligned;
};

template <class X, class Y>
__global__ void __launch_bounds__(kThreads) layer_norm_kernel(Forward<X, Y> op) {
  __shared__ float shared[kWarp];
  const int64 n = row_of_thread();
  if (n >= op.N) return;
  const auto columns = static_cast<float>(op.C);
  const HeldRow<X, kWidth, kHeld> x(op.x[n], op.C, op.aligned);
  float sum[1] = {0};
  for_each_piece<kWidth, kHeld>(op.C, [&](int i, int k) {
    const Piece<kWidth> v = x.piece(i, k);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) sum[0] += v[j];
  });
  sum_over_row(sum, shared);
  const float mean = sum[0] / columns;
  float squares[1] = {0};
  for_each_piece<kWidth, kHeld>(op.C, [&](int i, int k) {
    const Piece<kWidth> v = x.piece(i, k);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      const float centred = i + j < op.C ? v[j] - mean : 0.0f;  // a piece's elements past the row are zeros
      squares[0] = fmaf(centred, centred, squares[0]);
    }
  });
  sum_over_row(squares, shared);
  const float r = 1 / sqrtf(squares[0] / columns + op.epsilon);
  for_each_piece<kWidth, kHeld>(op.C, [&](int i, int k) {
    Piece<kWidth> v = x.piece(i, k), b{};
    const Piece<kWidth> w = load_piece<kWidth>(op.weight, i, op.C, op.aligned);
    if (op.bias) b = load_piece<kWidth>(op.bias, i, op.C, op.aligned);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) v[j] = fmaf((v[j] - mean) * r, w[j], b[j]);
    store_piece(op.y[n], i, op.C, op.aligned, v);
  });
  if (threadIdx.x == 0) {
    op.mean[n] = mean;
    op.inverse_deviation[n] = r;
  }
}

template <class X, class Y>
struct Backward {
  Rows<const X> x;
  const float *weight, *mean, *inverse_deviation;  // (C), (N), (N)
  Rows<const Y> dy;
  AnyRows dx;
  float *dweight, *dbias;  // (parts, C) each
  int64 N, rows_per_part;
  int C;
  bool accumulate, aligned;
};

/// A part of the rows, one after another, by threads that keep their columns' sums.
template <class X, class Y>
__global__ void __launch_bounds__(kThreadsBackward) layer_norm_backward_kernel(Backward<X, Y> op) {
  __shared__ float shared[2 * kWarp];
  const int64 part = row_of_thread();
  const int64 begin = part * op.rows_per_part, end = min(op.N, begin + op.rows_per_part);
  if (begin >= end) return;
  const auto columns = static_cast<float>(op.C);
  SummedRow<kWidth, kHeldBackward> dweight(op.dweight + part * op.C, op.C),
      dbias(op.dbias + part * op.C, op.C);
  for (int64 n = begin; n < end; ++n) {
    const HeldRow<X, kWidth, kHeldBackward> x(op.x[n], op.C, op.aligned);
    const HeldRow<Y, kWidth, kHeldBackward> dy(op.dy[n], op.C, op.aligned);
    // forward: y = normalised * weight + bias, normalised = (x - mean) * r
    const float mean = op.mean[n], r = op.inverse_deviation[n];
    float sums[2] = {0, 0};  // of dnormalised, and of dnormalised * normalised
    for_each_piece<kWidth, kHeldBackward>(op.C, [&](int i, int k) {
      const Piece<kWidth> xs = x.piece(i, k), dys = dy.piece(i, k);
      const Piece<kWidth> w = load_piece<kWidth>(op.weight, i, op.C, op.aligned);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        const float dnormalised = dys[j] * w[j];
        sums[0] += dnormalised;
        sums[1] = fmaf(dnormalised, (xs[j] - mean) * r, sums[1]);
      }
    });
    sum_over_row(sums, shared);
    // forward: mean and r depend on every x: d(mean)/dx = 1 / C, dr/dx = -r^2 normalised / C
    const float from_mean = sums[0] / columns, from_r = sums[1] / columns;
    for_each_piece<kWidth, kHeldBackward>(op.C, [&](int i, int k) {
      const Piece<kWidth> xs = x.piece(i, k), dys = dy.piece(i, k);
      const Piece<kWidth> w = load_piece<kWidth>(op.weight, i, op.C, op.aligned);
      Piece<kWidth> d, dw;
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        const float normalised = (xs[j] - mean) * r;
        dw[j] = dys[j] * normalised;
        d[j] = r * ((dys[j] * w[j] - from_mean) - normalised * from_r);
      }
      if (op.accumulate) d += load_piece<kWidth>(op.dx, n, i, op.C, op.aligned);
      store_piece(op.dx, n, i, op.C, op.aligned, d);
      dweight.add(i, k, dw);
      dbias.add(i, k, dys);
    });
  }
  dweight.store();
  dbias.store();
}

}  // namespace

void run(Execution& execution, const LayerNorm& op) {
  const int64 N = op.x.size(0), C = op.x.size(1);
  const RowBlock block(C, kWidth, kHeld / 2, kThreads);
  with_storage(op.x.dtype(), op.y.dtype(), [&]<class X, class Y>() {
    const Forward<X, Y> forward{Rows<const X>(op.x),
                                op.weight.data<float>(),
                                op.bias ? op.bias.data<float>() : nullptr,
                                Rows<Y>(op.y),
                                op.mean.data<float>(),
                                op.inverse_deviation.data<float>(),
                                N,
                                static_cast<int>(C),
                                op.epsilon,
                                pieces_aligned(kWidth, op.x, op.weight, op.bias, op.y)};
    launch(execution, "layer_norm", block.shape(N), layer_norm_kernel<X, Y>, forward);
  });
}

int64 scratch_bytes(const LayerNormBackward& op) {
  const int64 N = op.x.size(0), C = op.x.size(1);
  return 2 * scratch_size<float>(
                 SummedParts(N, RowBlock(C, kWidth, kHeldBackward, kThreadsBackward)).count() * C);
}

void run(Execution& execution, const LayerNormBackward& op) {
  const int64 N = op.x.size(0), C = op.x.size(1);
  const RowBlock block(C, kWidth, kHeldBackward, kThreadsBackward);
  const SummedParts parts(N, block);
  auto* dweight = execution.scratch<float>(parts.count() * C);  // (parts, C)
  auto* dbias = execution.scratch<float>(parts.count() * C);  // (parts, C), summed even where nobody wants it
  with_storage(op.x.dtype(), op.dy.dtype(), [&]<class X, class Y>() {
    const Backward<X, Y> backward{Rows<const X>(op.x),
                                  op.weight.data<float>(),
                                  op.mean.data<float>(),
                                  op.inverse_deviation.data<float>(),
                                  Rows<const Y>(op.dy),
                                  AnyRows(op.dx),
                                  dweight,
                                  dbias,
                                  N,
                                  parts.rows_per_part,
                                  static_cast<int>(C),
                                  op.accumulate,
                                  pieces_aligned(kWidth, op.x, op.weight, op.dy, op.dx)};
    launch(execution, "layer_norm_backward", block.shape(parts.count()), layer_norm_backward_kernel<X, Y>,
           backward);
  });
  add_partial_rows(execution, dweight, parts.count(), C, op.dweight.data<float>());
  if (op.dbias) add_partial_rows(execution, dbias, parts.count(), C, op.dbias.data<float>());
}

}  // namespace fovea::cuda
