#pragma once

#include <type_traits>

#include "core/view.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pieces.h"
#include "kernels/cuda/warp.h"

// Operations over the rows of (N, C) in device code: how rows lie, which thread has which piece of them, and
// sums over a row by the threads of its block.

namespace fovea::cuda {

/// f.template operator()<T>() with the device's type of a dtype in which kernels store.
template <class F>
void with_storage(DType dtype, F&& f) {
  if (dtype == DType::f32) return f.template operator()<float>();
  FOVEA_CHECK(dtype == DType::bf16, "no kernel for dtype {}", name_of(dtype));
  f.template operator()<Bf16>();
}
/// The same for two operands of their own dtypes.
template <class F>
void with_storage(DType first, DType second, F&& f) {
  with_storage(first,
               [&]<class A>() { with_storage(second, [&]<class B>() { f.template operator()<A, B>(); }); });
}

/// Rows of the last axis of a matrix, for a kernel; absent where data is null.
template <class T>
struct Rows {
  T* data = nullptr;
  int64 stride = 0;  ///< in elements

  Rows() = default;
  explicit Rows(const View& view)
      : data(static_cast<T*>(view.data())), stride(view.rank() > 1 ? view.stride(0) : 0) {
    FOVEA_CHECK(!view || size_of(view.dtype()) == int64{sizeof(T)}, "rows of {}", name_of(view.dtype()));
  }
  __device__ T* operator[](int64 n) const { return data + n * stride; }
};

/// A row, and rows, whose dtype the kernel learns when it runs: for operands that are not worth an
/// instantiation.
struct AnyRow {
  char* data;
  bool is_f32;
};
struct AnyRows {
  char* data = nullptr;
  int64 stride = 0;  ///< in elements
  bool is_f32 = true;

  AnyRows() = default;
  explicit AnyRows(const View& view)
      : data(static_cast<char*>(view.data())),
        stride(view.rank() > 1 ? view.stride(0) : 0),
        is_f32(view.dtype() == DType::f32) {
    FOVEA_CHECK(is_f32 || view.dtype() == DType::bf16, "no kernel for dtype {}", name_of(view.dtype()));
  }
  __device__ AnyRow operator[](int64 n) const {
    return {data + n * stride * static_cast<int>(is_f32 ? sizeof(float) : sizeof(Bf16)), is_f32};
  }
};
template <int kWidth, class Index>
__device__ inline Piece<kWidth> load_piece(const AnyRow& row, Index i, Index n, bool aligned) {
  if (row.is_f32) return load_piece<kWidth>(reinterpret_cast<const float*>(row.data), i, n, aligned);
  return load_piece<kWidth>(reinterpret_cast<const Bf16*>(row.data), i, n, aligned);
}
template <int kWidth, class Index>
__device__ inline void store_piece(const AnyRow& row, Index i, Index n, bool aligned,
                                   const Piece<kWidth>& piece) {
  if (row.is_f32)
    store_piece(reinterpret_cast<float*>(row.data), i, n, aligned, piece);
  else
    store_piece(reinterpret_cast<Bf16*>(row.data), i, n, aligned, piece);
}

/// Whether pieces of `width` elements of these views' rows stand at multiples of their size, of 16 bytes at
/// most.
template <class... Views>
bool pieces_aligned(int width, const Views&... views) {
  const auto aligned = [width](const View& view) {
    if (!view) return true;
    const int64 bytes = std::min<int64>(16, width * size_of(view.dtype()));
    bool fits = reinterpret_cast<uint64>(view.data()) % static_cast<uint64>(bytes) == 0;
    for (int axis = 0; axis + 1 < view.rank(); ++axis)
      fits = fits && (view.size(axis) <= 1 || view.stride(axis) * size_of(view.dtype()) % bytes == 0);
    return fits;
  };
  return (true && ... && aligned(views));
}

/// f(AllWhole()) where that is so of these matrices' rows, else f(whether pieces are aligned).
template <class F, class... Views>
void with_alignment(int width, F&& f, const View& first, const Views&... others) {
  const bool aligned = pieces_aligned(width, first, others...);
  if (aligned && first.size(1) % width == 0) return f(AllWhole());
  f(aligned);
}

/// What operations that treat all elements alike go over: matrices without gaps are one long row to them.
struct MatrixShape {
  int64 rows = 0, columns = 0;
};
template <class... Views>
MatrixShape merged_rows(const View& first, const Views&... others) {
  const int64 N = first.size(0), C = first.size(1);
  const auto dense = [](const View& view) { return !view || view.contiguous(); };
  return (dense(first) && ... && dense(others)) ? MatrixShape{1, N * C} : MatrixShape{N, C};
}

/// The grid of kernels in which every thread has one piece of one row.
struct PieceGrid {
  int64 blocks = 0, blocks_per_row = 1, threads = kWarp;  ///< threads of a block

  PieceGrid(MatrixShape matrix, int width) {
    constexpr int64 kThreads = 256;
    const int64 pieces = std::max<int64>(1, ceil_div(matrix.columns, width));
    blocks_per_row = ceil_div(pieces, kThreads);
    threads = round_up(ceil_div(pieces, blocks_per_row), kWarp);
    blocks = matrix.columns > 0 ? matrix.rows * blocks_per_row : 0;
  }
  LaunchShape shape() const {
    return {dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(threads))};
  }
};
/// Where this thread's piece stands.
struct PiecePlace {
  int64 row, column;
};
template <int kWidth>
__device__ inline PiecePlace piece_place(int64 blocks_per_row) {
  const auto per_row = static_cast<uint32>(blocks_per_row);
  return {blockIdx.x / per_row, (int64{blockIdx.x % per_row} * blockDim.x + threadIdx.x) * kWidth};
}

/// The block of kernels that sum over rows: all its threads have one row, or each of its warps has its own
/// where rows are short. A function of C alone, and with it the order of the sums.
struct RowBlock {
  int64 threads = kWarp, rows = 1;  ///< threads of a row, rows of the block

  /// `held`: how many pieces of a row a thread best holds; `most`: threads.
  RowBlock(int64 C, int width, int held, int64 most) {
    threads = std::min(most, std::max<int64>(kWarp, round_up(ceil_div(ceil_div(C, width), held), kWarp)));
    rows = threads == kWarp ? 8 : 1;
  }
  /// For this many rows, or parts of them.
  LaunchShape shape(int64 count) const {
    return {dim3(static_cast<unsigned>(ceil_div(count, rows))),
            dim3(static_cast<unsigned>(threads), static_cast<unsigned>(rows))};
  }
};
/// How sums over all rows are cut: each part by one row of threads. As many as fill a device and are there at
/// once on most, so that none of them begins when others end; the same for every device.
struct SummedParts {
  int64 rows = 0, rows_per_part = 8;

  SummedParts(int64 N, const RowBlock& block)
      : rows(N), rows_per_part(std::max<int64>(8, round_up(ceil_div(N, 512 * block.rows), 2))) {}
  int64 count() const { return ceil_div(rows, rows_per_part); }
};
/// Index of this thread's row, or of what it has instead of one.
__device__ inline int64 row_of_thread() { return int64{blockIdx.x} * blockDim.y + threadIdx.y; }

/// f(i, k) for each piece that this thread has of a row of n: i is its first element. k, known to the
/// compiler, counts the first kHeld; of longer rows the others come with k = kHeld.
template <int kWidth, int kHeld, class F>
__device__ inline void for_each_piece(int n, F f) {
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    const int i = static_cast<int>((k * blockDim.x + threadIdx.x) * kWidth);
    if (i < n) f(i, k);
  }
  const int stride = static_cast<int>(blockDim.x) * kWidth;
  for (int i = kHeld * stride + static_cast<int>(threadIdx.x) * kWidth; i < n; i += stride) f(i, kHeld);
}

/// A row as its threads have it: kHeld pieces each in registers; what longer rows have besides is read again
/// whenever it is asked for. Row: a pointer, or AnyRow; Aligned: bool, or AllWhole.
template <class Row, class Aligned, int kWidth, int kHeld>
struct HeldRow {
  Row row;
  int n;
  Aligned aligned;
  Piece<kWidth> held[kHeld];

  HeldRow() = default;
  __device__ HeldRow(Row from, int columns, Aligned pieces_are_aligned)
      : row(from), n(columns), aligned(pieces_are_aligned) {
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      const int i = static_cast<int>((k * blockDim.x + threadIdx.x) * kWidth);
      if (i < n) held[k] = load_piece<kWidth>(row, i, n, aligned);
    }
  }
  __device__ Piece<kWidth> piece(int i, int k) const {
    return k < kHeld ? held[k] : load_piece<kWidth>(row, i, n, aligned);
  }
};

/// Sums by column over rows that follow one another, one row of f32 for a part of them: in registers as far
/// as a HeldRow has its elements there, beyond in memory.
template <class Aligned, int kWidth, int kHeld>
struct SummedRow {
  float* row;
  int n;
  Aligned aligned;
  Piece<kWidth> sums[kHeld];

  __device__ SummedRow(float* target, int columns, Aligned pieces_are_aligned)
      : row(target), n(columns), aligned(pieces_are_aligned) {
    for_each_piece<kWidth, kHeld>(n, [&](int i, int k) {
      if (k < kHeld)
        sums[k] = {};
      else
        store_piece<kWidth>(row, i, n, aligned, {});
    });
  }
  __device__ void add(int i, int k, const Piece<kWidth>& terms) {
    if (k < kHeld)
      sums[k] += terms;
    else
      store_piece(row, i, n, aligned, load_piece<kWidth>(row, i, n, aligned) += terms);
  }
  __device__ void store() const {
    for_each_piece<kWidth, kHeld>(n, [&](int i, int k) {
      if (k < kHeld) store_piece(row, i, n, aligned, sums[k]);
    });
  }
};

/// Replaces each of kSums values by its sum over the threads of a row, the same bits in all of them. shared
/// (kSums, kWarp) is for them where they are more than a warp.
template <int kSums, class T>
__device__ inline void sum_over_row(T (&x)[kSums], T* shared) {
#pragma unroll
  for (int s = 0; s < kSums; ++s) x[s] = warp_sum(x[s]);
  const unsigned warps = blockDim.x / kWarp, warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  if (warps == 1) return;
  __syncthreads();  // all have read the last sum
  if (lane == 0) {
#pragma unroll
    for (int s = 0; s < kSums; ++s) shared[s * kWarp + warp] = x[s];
  }
  __syncthreads();
#pragma unroll
  for (int s = 0; s < kSums; ++s) x[s] = warp_sum(lane < warps ? shared[s * kWarp + lane] : T(0));
}

}  // namespace fovea::cuda
