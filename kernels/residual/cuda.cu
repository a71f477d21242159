#include "kernels/cuda/launch.h"
#include "kernels/cuda/philox.h"
#include "kernels/cuda/rows.h"
#include "kernels/residual/backends.h"

namespace fovea::cuda {
namespace {

template <class Out, class Y>
struct DropoutAdd {
  Rows<const Out> x;  // may be absent
  Rows<const Y> y;
  Rows<Out> out;
  int64 columns, blocks_per_row;
  DeviceDropout dropout;
  bool aligned;
};

/// out = x + dropout(y), or out = dropout(y) where x is absent.
template <class Out, class Y>
__global__ void __launch_bounds__(256) dropout_add_kernel(DropoutAdd<Out, Y> op) {
  constexpr int kWidth = kPieceWidth<Out, Y>;
  const auto [n, c] = piece_place<kWidth>(op.blocks_per_row);
  if (c >= op.columns) return;
  Piece<kWidth> v = load_piece<kWidth>(op.y[n], c, op.columns, op.aligned), x{};
  if (op.x.data) x = load_piece<kWidth>(op.x[n], c, op.columns, op.aligned);
  if (op.dropout.drops()) drop(op.dropout, n * op.columns + c, v);
  if (op.x.data) v += x;
  store_piece(op.out[n], c, op.columns, op.aligned, v);
}

void dropout_add(Execution& execution, std::string_view name, const View& x, const View& y, const View& out,
                 const Dropout& dropout) {
  with_storage(out.dtype(), y.dtype(), [&]<class Out, class Y>() {
    constexpr int kWidth = kPieceWidth<Out, Y>;
    const MatrixShape shape = merged_rows(y, x, out);
    const PieceGrid grid(shape, kWidth);
    const DropoutAdd<Out, Y> op{Rows<const Out>(x),
                                Rows<const Y>(y),
                                Rows<Out>(out),
                                shape.columns,
                                grid.blocks_per_row,
                                DeviceDropout(dropout, y.size(1)),
                                pieces_aligned(kWidth, x, y, out)};
    launch(execution, name, grid.shape(), dropout_add_kernel<Out, Y>, op);
  });
}

}  // namespace

void run(Execution& execution, const ResidualAdd& op) {
  dropout_add(execution, "residual_add", op.x, op.y, op.out, op.dropout);
}

void run(Execution& execution, const ResidualAddBackward& op) {
  // forward: out = x + factor * y, so dy = factor * dout
  dropout_add(execution, "residual_add_backward", {}, op.dout, op.dy, op.dropout);
}

}  // namespace fovea::cuda
