#include "kernels/cuda/launch.h"
#include "kernels/cuda/norm_rows.h"
#include "kernels/cuda/partial_rows.h"
#include "kernels/layer_norm/backends.h"

namespace fovea::cuda {
namespace {

using norm::kHeld, norm::kWidth;

template <class X, class Y, class Aligned>
struct Forward {
  Rows<const X> x;
  const float *weight, *bias;  // (C) each; bias may be absent
  Rows<Y> y;
  float *mean, *inverse_deviation;  // (N) each
  int64 N;
  int C;
  float epsilon;
  Aligned aligned;
};

template <class X, class Y, class Aligned>
__global__ void __launch_bounds__(norm::kThreads) layer_norm_kernel(Forward<X, Y, Aligned> op) {
  __shared__ float shared[kWarp];
  const int64 n = row_of_thread();
  if (n >= op.N) return;
  const auto columns = static_cast<float>(op.C);
  const HeldRow<const X*, Aligned, kWidth, kHeld> x(op.x[n], op.C, op.aligned);
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

template <class X, class Y, class Aligned>
struct Backward {
  norm::BackwardRows<X, Y, Aligned> rows;
  const float *weight, *mean, *inverse_deviation;  // (C), (N), (N)
  float* sums;                                     // (parts, 2, C): of dweight and dbias
};

/// A part of the rows, a few at a time so that much is loaded at once, by threads that keep their columns'
/// sums.
template <class X, class Y, class Aligned>
__global__ void __launch_bounds__(norm::kThreads) layer_norm_backward_kernel(Backward<X, Y, Aligned> op) {
  using Rows = norm::BackwardRows<X, Y, Aligned>;
  constexpr int kRows = Rows::kAtOnce;
  __shared__ float shared[2 * kRows * kWarp];
  const Rows& rows = op.rows;
  const int64 part = row_of_thread();
  const int64 begin = part * rows.rows_per_part, end = min(rows.N, begin + rows.rows_per_part);
  if (begin >= end) return;
  const float inverse_columns = 1 / static_cast<float>(rows.C);
  const norm::Held<const float*, Aligned> weight(op.weight, rows.C, rows.aligned);
  norm::Summed<Aligned> dweight(op.sums + 2 * part * rows.C, rows.C, rows.sums_aligned()),
      dbias(op.sums + (2 * part + 1) * rows.C, rows.C, rows.sums_aligned());
  for (int64 first = begin; first < end; first += kRows) {
    typename Rows::OfRow has[kRows];
    float mean[kRows], r[kRows];
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      const bool there = first + row < end;
      has[row] = rows.load(first + row, there);
      mean[row] = there ? op.mean[first + row] : 0.0f;
      r[row] = there ? op.inverse_deviation[first + row] : 0.0f;
    }
    // forward: y = normalised * weight + bias, normalised = (x - mean) * r
    float sums[2 * kRows] = {};  // of each row's dnormalised, and of its dnormalised * normalised
#pragma unroll
    for (int row = 0; row < kRows; ++row)
      norm::for_each_piece(has[row].columns, [&](int i, int k) {
        const Piece<kWidth> x = has[row].x.piece(i, k), dy = has[row].dy.piece(i, k), w = weight.piece(i, k);
#pragma unroll
        for (int j = 0; j < kWidth; ++j) {
          const float dnormalised = dy[j] * w[j];
          sums[2 * row] += dnormalised;
          sums[2 * row + 1] = fmaf(dnormalised, (x[j] - mean[row]) * r[row], sums[2 * row + 1]);
        }
      });
    sum_over_row(sums, shared);
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      // forward: mean and r depend on every x: d(mean)/dx = 1 / C, dr/dx = -r^2 normalised / C
      const float from_mean = sums[2 * row] * inverse_columns, from_r = sums[2 * row + 1] * inverse_columns;
      norm::for_each_piece(has[row].columns, [&](int i, int k) {
        const Piece<kWidth> x = has[row].x.piece(i, k), dy = has[row].dy.piece(i, k), w = weight.piece(i, k);
        Piece<kWidth> d, dw;
#pragma unroll
        for (int j = 0; j < kWidth; ++j) {
          const float normalised = (x[j] - mean[row]) * r[row];
          dw[j] = dy[j] * normalised;
          d[j] = r[row] * ((dy[j] * w[j] - from_mean) - normalised * from_r);
        }
        rows.store(has[row], first + row, i, k, d);
        dweight.add(i, k, dw);
        dbias.add(i, k, dy);
      });
    }
  }
  dweight.store();
  dbias.store();
}

/// Where backward sums up.
PartialRows parts_of(const LayerNormBackward& op, float* sums) {
  const int64 C = op.x.size(1);
  return {sums, SummedParts(op.x.size(0), norm::backward_block(C)).count(), 2 * C};
}

}  // namespace

void run(Execution& execution, const LayerNorm& op) {
  const int64 N = op.x.size(0), C = op.x.size(1);
  const auto run_aligned = [&](auto aligned) {
    with_storage(op.x.dtype(), op.y.dtype(), [&]<class X, class Y>() {
      const Forward<X, Y, decltype(aligned)> forward{Rows<const X>(op.x),
                                                     op.weight.data<float>(),
                                                     op.bias ? op.bias.data<float>() : nullptr,
                                                     Rows<Y>(op.y),
                                                     op.mean.data<float>(),
                                                     op.inverse_deviation.data<float>(),
                                                     N,
                                                     static_cast<int>(C),
                                                     op.epsilon,
                                                     aligned};
      launch(execution, "layer_norm", norm::forward_block(C).shape(N),
             layer_norm_kernel<X, Y, decltype(aligned)>, forward);
    });
  };
  with_alignment(kWidth, run_aligned, op.x, op.weight, op.bias, op.y);
}

int64 scratch_bytes(const LayerNormBackward& op) {
  const PartialRows parts = parts_of(op, nullptr);
  return scratch_size<float>(parts.parts * parts.stride);
}

void run(Execution& execution, const LayerNormBackward& op) {
  const int64 C = op.x.size(1);
  // of dbias too where nobody wants it
  auto* sums = reinterpret_cast<float*>(execution.scratch<std::byte>(scratch_bytes(op)));
  const PartialRows parts = parts_of(op, sums);
  norm::with_backward_rows(
      op, [&]<class X, class Y, class Aligned>(const norm::BackwardRows<X, Y, Aligned>& rows) {
        const Backward<X, Y, Aligned> backward{rows, op.weight.data<float>(), op.mean.data<float>(),
                                               op.inverse_deviation.data<float>(), sums};
        launch(execution, "layer_norm_backward", norm::backward_block(C).shape(parts.parts),
               layer_norm_backward_kernel<X, Y, Aligned>, backward);
      });
  add_partial_rows(execution, parts, C, op.dweight.data<float>(),
                   op.dbias ? op.dbias.data<float>() : nullptr);
}

}  // namespace fovea::cuda
