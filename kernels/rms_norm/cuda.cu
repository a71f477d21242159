#include "kernels/cuda/launch.h"
#include "kernels/cuda/norm_rows.h"
#include "kernels/cuda/partial_rows.h"
#include "kernels/rms_norm/backends.h"

namespace fovea::cuda {
namespace {

using norm::kHeld, norm::kWidth;

template <class X, class Y, class Aligned>
struct Forward {
  Rows<const X> x;
  const float* weight;  // (C)
  Rows<Y> y;
  float* inverse_rms;  // (N)
  int64 N;
  int C;
  float epsilon, weight_offset;
  Aligned aligned;
};

template <class X, class Y, class Aligned>
__global__ void __launch_bounds__(norm::kThreads) rms_norm_kernel(Forward<X, Y, Aligned> op) {
  __shared__ float shared[kWarp];
  const int64 n = row_of_thread();
  if (n >= op.N) return;
  const HeldRow<const X*, Aligned, kWidth, kHeld> x(op.x[n], op.C, op.aligned);
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

template <class X, class Y, class Aligned>
struct Backward {
  norm::BackwardRows<X, Y, Aligned> rows;
  const float *weight, *inverse_rms;  // (C), (N)
  float* sums;                        // (parts, C): of dweight
  float weight_offset;
};

/// A part of the rows, a few at a time so that much is loaded at once, by threads that keep their columns'
/// sums.
template <class X, class Y, class Aligned>
__global__ void __launch_bounds__(norm::kThreads) rms_norm_backward_kernel(Backward<X, Y, Aligned> op) {
  using Rows = norm::BackwardRows<X, Y, Aligned>;
  constexpr int kRows = Rows::kAtOnce;
  __shared__ float shared[kRows * kWarp];
  const Rows& rows = op.rows;
  const int64 part = row_of_thread();
  const int64 begin = part * rows.rows_per_part, end = min(rows.N, begin + rows.rows_per_part);
  if (begin >= end) return;
  const norm::Held<const float*, Aligned> weight(op.weight, rows.C, rows.aligned);
  norm::Summed<Aligned> dweight(op.sums + part * rows.C, rows.C, rows.sums_aligned());
  for (int64 first = begin; first < end; first += kRows) {
    typename Rows::OfRow has[kRows];
    float r[kRows];
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      const bool there = first + row < end;
      has[row] = rows.load(first + row, there);
      r[row] = there ? op.inverse_rms[first + row] : 0.0f;
    }
    // forward: y = x * r * (weight_offset + weight)
    float dots[kRows] = {};
#pragma unroll
    for (int row = 0; row < kRows; ++row)
      norm::for_each_piece(has[row].columns, [&](int i, int k) {
        const Piece<kWidth> x = has[row].x.piece(i, k), dy = has[row].dy.piece(i, k), w = weight.piece(i, k);
#pragma unroll
        for (int j = 0; j < kWidth; ++j) dots[row] = fmaf(dy[j] * (op.weight_offset + w[j]), x[j], dots[row]);
      });
    sum_over_row(dots, shared);
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      // forward: r = 1 / sqrt(mean(x^2) + epsilon), so dr/dx = -r^3 x / C
      const float factor = dots[row] * r[row] * r[row] / static_cast<float>(rows.C);
      norm::for_each_piece(has[row].columns, [&](int i, int k) {
        const Piece<kWidth> x = has[row].x.piece(i, k), dy = has[row].dy.piece(i, k), w = weight.piece(i, k);
        Piece<kWidth> d, dw;
#pragma unroll
        for (int j = 0; j < kWidth; ++j) {
          dw[j] = dy[j] * (x[j] * r[row]);
          d[j] = r[row] * (dy[j] * (op.weight_offset + w[j]) - factor * x[j]);
        }
        rows.store(has[row], first + row, i, k, d);
        dweight.add(i, k, dw);
      });
    }
  }
  dweight.store();
}

/// Where backward sums up.
PartialRows parts_of(const RmsNormBackward& op, float* sums) {
  const int64 C = op.x.size(1);
  return {sums, SummedParts(op.x.size(0), norm::backward_block(C)).count(), C};
}

}  // namespace

void run(Execution& execution, const RmsNorm& op) {
  const int64 N = op.x.size(0), C = op.x.size(1);
  const auto run_aligned = [&](auto aligned) {
    with_storage(op.x.dtype(), op.y.dtype(), [&]<class X, class Y>() {
      const Forward<X, Y, decltype(aligned)> forward{Rows<const X>(op.x),
                                                     op.weight.data<float>(),
                                                     Rows<Y>(op.y),
                                                     op.inverse_rms.data<float>(),
                                                     N,
                                                     static_cast<int>(C),
                                                     op.epsilon,
                                                     op.weight_offset,
                                                     aligned};
      launch(execution, "rms_norm", norm::forward_block(C).shape(N), rms_norm_kernel<X, Y, decltype(aligned)>,
             forward);
    });
  };
  with_alignment(kWidth, run_aligned, op.x, op.weight, op.y);
}

int64 scratch_bytes(const RmsNormBackward& op) {
  const PartialRows parts = parts_of(op, nullptr);
  return scratch_size<float>(parts.parts * parts.stride);
}

void run(Execution& execution, const RmsNormBackward& op) {
  const int64 C = op.x.size(1);
  auto* sums = reinterpret_cast<float*>(execution.scratch<std::byte>(scratch_bytes(op)));
  const PartialRows parts = parts_of(op, sums);
  norm::with_backward_rows(
      op, [&]<class X, class Y, class Aligned>(const norm::BackwardRows<X, Y, Aligned>& rows) {
        const Backward<X, Y, Aligned> backward{rows, op.weight.data<float>(), op.inverse_rms.data<float>(),
                                               sums, op.weight_offset};
        launch(execution, "rms_norm_backward", norm::backward_block(C).shape(parts.parts),
               rms_norm_backward_kernel<X, Y, Aligned>, backward);
      });
  add_partial_rows(execution, parts, C, op.dweight.data<float>());
}

}  // namespace fovea::cuda
