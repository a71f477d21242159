#pragma once

#include "kernels/cuda/element.h"
#include "kernels/cuda/mma.h"
#include "kernels/cuda/warp.h"

// Matrices of sums that the warps of a block hold together in registers.

namespace fovea::cuda {

/// Rows x Columns sums, shared by RowWarps x ColumnWarps warps in pieces of 16 x 16, so that neighbouring
/// pieces are neighbouring warps'. Warp w has row w % RowWarps of them, w / RowWarps of the columns.
template <int Rows, int Columns, int RowWarps, int ColumnWarps>
struct Fragments {
  static constexpr int kRows = Rows, kColumns = Columns, kRowWarps = RowWarps, kColumnWarps = ColumnWarps;
  static constexpr int kThreads = RowWarps * ColumnWarps * kWarp;
  static constexpr int kDown = Rows / (16 * RowWarps), kAcross = Columns / (16 * ColumnWarps);
  static_assert(kDown * 16 * RowWarps == Rows && kAcross * 16 * ColumnWarps == Columns);
  /// Per thread: [down][of 8 columns][of mma's c]
  using Sums = float[kDown][2 * kAcross][4];
  static constexpr int kSums = kDown * kAcross * 8;

  int row, column;  ///< of the warp's first piece
  __device__ explicit Fragments(int warp) : row(warp % RowWarps * 16), column(warp / RowWarps * 16) {}
  /// Rows and columns from one piece of a warp to its next.
  static constexpr int kRowStep = 16 * RowWarps, kColumnStep = 16 * ColumnWarps;

  __device__ static void clear(Sums& c) {
#pragma unroll
    for (auto& across : c)
#pragma unroll
      for (auto& sums : across)
#pragma unroll
        for (float& x : sums) x = 0;
  }
  /// f(n, x[4]) of each four of a thread's sums.
  template <class C, class F>
  __device__ static void for_each_four(C& c, F f) {
#pragma unroll
    for (int i = 0; i < kDown; ++i)
#pragma unroll
      for (int j = 0; j < 2 * kAcross; ++j) f(i * 2 * kAcross + j, c[i][j]);
  }
};

/// c += a b over 16 * Steps; a(i, step, to) and b(j, step, to) load operands for 16 rows, and for 16 columns.
template <class T, int Steps, class Fragments, class A, class B>
__device__ __forceinline__ void multiply(typename Fragments::Sums& c, A a, B b) {
#pragma unroll
  for (int step = 0; step < Steps; ++step) {
    uint32 rows[Fragments::kDown][4];
#pragma unroll
    for (int i = 0; i < Fragments::kDown; ++i) a(i, step, rows[i]);
#pragma unroll
    for (int j = 0; j < Fragments::kAcross; ++j) {
      uint32 columns[4];
      b(j, step, columns);
#pragma unroll
      for (int i = 0; i < Fragments::kDown; ++i) {
        mma<T>(c[i][2 * j], rows[i], columns[0], columns[1]);
        mma<T>(c[i][2 * j + 1], rows[i], columns[2], columns[3]);
      }
    }
  }
}

/// Stores factor * c as rows of 16-bit numbers, or adds it to what is there: row(r) points to row r, of so
/// many rows, whose elements are a multiple of 8. The four lanes of a row hand their sums round, so that each
/// has four neighbouring columns and they store 32 bytes together.
template <class T, class Fragments, class Row>
__device__ void store_rows(const Fragments& place, const typename Fragments::Sums& c, float factor, int rows,
                           int elements, bool accumulate, Row row) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, quad = lane & ~3, t = lane & 3;
#pragma unroll
  for (int i = 0; i < Fragments::kDown; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = place.row + i * Fragments::kRowStep + half * 8 + lane / 4;
      T* const to = row(r < rows ? r : 0);
#pragma unroll
      for (int j = 0; j < Fragments::kAcross; ++j) {
        // Of this row columns 2t, 2t+1 and 8 + 2t, 8 + 2t + 1 are here; 4t to 4t+3 are wanted.
        float x[4];
#pragma unroll
        for (int n = 0; n < 4; ++n) {
          const int from = quad + (2 * t + n / 2) % 4;
          const float left = __shfl_sync(kAllLanes, c[i][2 * j][2 * half + n % 2], from);
          const float right = __shfl_sync(kAllLanes, c[i][2 * j + 1][2 * half + n % 2], from);
          x[n] = factor * (t < 2 ? left : right);
        }
        const int d = place.column + j * Fragments::kColumnStep + 4 * t;
        if (r >= rows || d >= elements) continue;
        uint2* const four = reinterpret_cast<uint2*>(to + d);
        if (accumulate) {
          const uint2 before = *four;
          x[0] += first_of<T>(before.x), x[1] += second_of<T>(before.x);
          x[2] += first_of<T>(before.y), x[3] += second_of<T>(before.y);
        }
        *four = make_uint2(pack<T>(x[0], x[1]), pack<T>(x[2], x[3]));
      }
    }
}

}  // namespace fovea::cuda
