#pragma once

#include <type_traits>

#include "kernels/cuda/rows.h"

// What layer_norm and rms_norm share on the device: how many threads have a row, and what their backward
// passes read and write of it.

namespace fovea::cuda::norm {

constexpr int kWidth = 4;                    // elements of a piece
constexpr int kHeld = 6, kHeldBackward = 2;  // pieces of a row that a thread has in registers
constexpr int kThreads = 512;                // of a block, at most: registers are divided among them

inline RowBlock forward_block(int64 C) { return RowBlock(C, kWidth, kHeld, kThreads); }
inline RowBlock backward_block(int64 C) { return RowBlock(C, kWidth, kHeldBackward, kThreads); }

template <class Row, class Aligned>
using Held = HeldRow<Row, Aligned, kWidth, kHeldBackward>;
template <class Aligned>
using Summed = SummedRow<Aligned, kWidth, kHeldBackward>;
template <class F>
__device__ inline void for_each_piece(int n, F f) {
  cuda::for_each_piece<kWidth, kHeldBackward>(n, f);
}

/// Of a backward pass: rows of x and dy, and of dx, which has x's dtype where Aligned is AllWhole.
template <class X, class Y, class Aligned>
struct BackwardRows {
  static constexpr bool kWhole = std::is_same_v<Aligned, AllWhole>;
  static constexpr int kAtOnce = kWhole ? 2 : 1;  ///< rows that a thread loads before it uses any
  using Dx = std::conditional_t<kWhole, Rows<X>, AnyRows>;
  using DxRow = std::conditional_t<kWhole, X*, AnyRow>;

  Rows<const X> x;
  Rows<const Y> dy;
  Dx dx;
  int64 N, rows_per_part;
  int C;
  bool accumulate;
  Aligned aligned;

  template <class Op>
  BackwardRows(const Op& op, Aligned pieces_are_aligned)
      : x(op.x),
        dy(op.dy),
        dx(op.dx),
        N(op.x.size(0)),
        rows_per_part(SummedParts(N, backward_block(op.x.size(1))).rows_per_part),
        C(static_cast<int>(op.x.size(1))),
        accumulate(op.accumulate),
        aligned(pieces_are_aligned) {}

  /// How the pieces of sums by column lie: f32, C of them in a row or several times that.
  __device__ Aligned sums_aligned() const {
    if constexpr (kWhole)
      return {};
    else
      return C % kWidth == 0;
  }
  /// What a thread has of one row; no columns of a row that is not there.
  struct OfRow {
    int columns;
    Held<const X*, Aligned> x;
    Held<const Y*, Aligned> dy;
    Held<DxRow, Aligned> dx;  // as it was, where it is added to
  };
  __device__ OfRow load(int64 n, bool there) const {
    const int columns = there ? C : 0;
    return {columns,
            {x[n], columns, aligned},
            {dy[n], columns, aligned},
            {dx[n], accumulate ? columns : 0, aligned}};
  }
  /// dx = d, or dx + d.
  __device__ void store(const OfRow& row, int64 n, int i, int k, Piece<kWidth> d) const {
    if (accumulate) d += row.dx.piece(i, k);
    store_piece(dx[n], i, C, aligned, d);
  }
};

/// f(BackwardRows) of an operation.
template <class Op, class F>
void with_backward_rows(const Op& op, F&& f) {
  const auto with = [&](auto aligned) {
    with_storage(op.x.dtype(), op.dy.dtype(),
                 [&]<class X, class Y>() { f(BackwardRows<X, Y, decltype(aligned)>(op, aligned)); });
  };
  if (op.dx.dtype() != op.x.dtype()) return with(pieces_aligned(kWidth, op.x, op.weight, op.dy, op.dx));
  with_alignment(kWidth, with, op.x, op.weight, op.dy, op.dx);
}

}  // namespace fovea::cuda::norm
