#include "kernels/cuda/launch.h"
#include "kernels/cuda/rows.h"
#include "kernels/rope/backends.h"

namespace fovea::cuda {
namespace {

template <class T>
struct Rotation {
  const T* x;  // (N, H, D) by strides, as y
  T* y;
  int64 x_row, x_head, y_row, y_head;
  const int32* positions;          // (N)
  Rows<const float> cosine, sine;  // (P, planes)
  int64 P;
  int H, D, planes;
  int pieces_rotated, pieces_copied;  // of a head
  int blocks_per_row;
  float sign;  // of the angle
  bool aligned;
};

/// (a, b) turned by the angle.
struct Pair {
  float a, b;
};
__device__ inline Pair turned(Pair p, float cosine, float sine) {
  return {fmaf(-p.b, sine, p.a * cosine), fmaf(p.a, sine, p.b * cosine)};
}

/// Each thread has one piece of one head: of planes that are rotated, or of elements that are copied.
template <class T, bool kInterleaved>
__global__ void __launch_bounds__(256) rope_kernel(Rotation<T> op) {
  constexpr int kWidth = kPieceWidth<T>;
  const auto blocks_per_row = static_cast<unsigned>(op.blocks_per_row);
  const int64 n = blockIdx.x / blocks_per_row;
  const int item = static_cast<int>(blockIdx.x % blocks_per_row * blockDim.x + threadIdx.x);
  const int pieces = op.pieces_rotated + op.pieces_copied;
  const int head = item / pieces, piece = item % pieces;
  if (head >= op.H) return;
  const T* x = op.x + n * op.x_row + head * op.x_head;
  T* y = op.y + n * op.y_row + head * op.y_head;
  if (piece >= op.pieces_rotated) {
    const int d = 2 * op.planes + (piece - op.pieces_rotated) * kWidth;
    store_piece(y, d, op.D, op.aligned, load_piece<kWidth>(x, d, op.D, op.aligned));
    return;
  }
  const int64 p = op.positions[n];
  if (p < 0 || p >= op.P) __trap();  // checked by whoever made the batch
  const float *cosines = op.cosine[p], *sines = op.sine[p];
  if constexpr (kInterleaved) {
    // pairs (2 i, 2 i + 1)
    constexpr int kPlanes = kWidth / 2;
    const int plane = piece * kPlanes, d = 2 * plane, end = 2 * op.planes;
    Piece<kWidth> v = load_piece<kWidth>(x, d, end, op.aligned);
#pragma unroll
    for (int i = 0; i < kPlanes; ++i) {
      if (plane + i >= op.planes) break;
      const Pair t = turned({v[2 * i], v[2 * i + 1]}, cosines[plane + i], op.sign * sines[plane + i]);
      v[2 * i] = t.a, v[2 * i + 1] = t.b;
    }
    store_piece(y, d, end, op.aligned, v);
  } else {
    // pairs (i, i + planes)
    const int plane = piece * kWidth;
    const auto load = [&](const auto* from) {
      return load_piece<kWidth>(from, plane, op.planes, op.aligned);
    };
    Piece<kWidth> a = load(x), b = load(x + op.planes);
    const Piece<kWidth> cosine = load(cosines), sine = load(sines);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const Pair t = turned({a[i], b[i]}, cosine[i], op.sign * sine[i]);
      a[i] = t.a, b[i] = t.b;
    }
    store_piece(y, plane, op.planes, op.aligned, a);
    store_piece(y + op.planes, plane, op.planes, op.aligned, b);
  }
}

}  // namespace

void run(Execution& execution, const Rope& op) {
  const auto H = static_cast<int>(op.x.size(1)), D = static_cast<int>(op.x.size(2));
  const auto planes = static_cast<int>(op.cosine.size(1));
  const bool in_place = op.x.data() == op.y.data();
  with_storage(op.x.dtype(), [&]<class T>() {
    constexpr int kWidth = kPieceWidth<T>;
    const int rotated =
        static_cast<int>(op.interleaved ? ceil_div(2 * planes, kWidth) : ceil_div(planes, kWidth));
    const int copied = in_place ? 0 : static_cast<int>(ceil_div(D - 2 * planes, kWidth));
    const PieceGrid grid({op.x.size(0), int64{H} * (rotated + copied)}, 1);
    const bool whole =
        (op.interleaved ? 2 * planes : planes) % kWidth == 0;  // what follows begins with a piece
    const Rotation<T> rotation{static_cast<const T*>(op.x.data()),
                               static_cast<T*>(op.y.data()),
                               op.x.stride(0),
                               op.x.stride(1),
                               op.y.stride(0),
                               op.y.stride(1),
                               op.positions.data<int32>(),
                               Rows<const float>(op.cosine),
                               Rows<const float>(op.sine),
                               op.cosine.size(0),
                               H,
                               D,
                               planes,
                               rotated,
                               copied,
                               static_cast<int>(grid.blocks_per_row),
                               op.inverse ? -1.0f : 1.0f,
                               whole && pieces_aligned(kWidth, op.x, op.y, op.cosine, op.sine)};
    launch(execution, "rope", grid.shape(), op.interleaved ? rope_kernel<T, true> : rope_kernel<T, false>,
           rotation);
  });
}

void run(Execution& execution, const RopeTable& op) {
  // Once per run: made on the host, in the bits that all backends share, and copied.
  const int64 P = op.cosine.size(0), planes = op.cosine.size(1);
  FOVEA_CHECK(op.cosine.contiguous() && op.sine.contiguous(), "rope_table: a table with gaps");
  const Buffer cosine(op.cosine.bytes()), sine(op.sine.bytes());
  RopeTable table = op;
  table.cosine = View(cosine.data(), op.cosine.dtype(), {P, planes});
  table.sine = View(sine.data(), op.sine.dtype(), {P, planes});
  reference::run(execution, table);
  execution.queue().copy(op.cosine.data(), cosine.data(), op.cosine.bytes());
  execution.queue().copy(op.sine.data(), sine.data(), op.sine.bytes());
}

}  // namespace fovea::cuda
