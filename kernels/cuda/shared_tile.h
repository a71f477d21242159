#pragma once

#include "kernels/cuda/async_copy.h"
#include "kernels/cuda/mma.h"
#include "kernels/cuda/warp.h"

namespace fovea::cuda {

/// Rows x Columns elements of 16 bits in shared memory from a base that is a multiple of 128 bytes. Rows are
/// dense; within a row chunks of 16 bytes change places (chunk XOR the row's low bits), so that eight rows of
/// one chunk, as ldmatrix reads them, lie in all 32 banks, and so do eight neighbouring chunks of a row.
template <int Rows, int Columns>
struct SharedTile {
  static_assert(Columns % 32 == 0);
  static constexpr int kRows = Rows, kColumns = Columns;
  static constexpr int kChunks = Columns / 8, kRowBytes = Columns * 2, kBytes = Rows * kRowBytes;
  /// Chunks change places within so many; two rows of four chunks make up 128 bytes as one of eight does.
  static constexpr int kSwizzled = kChunks % 8 == 0 ? 8 : 4;

  uint32 base;

  __device__ static int swizzle(int row) { return kSwizzled == 8 ? row & 7 : (row >> 1) & 3; }
  __device__ uint32 address(int row, int chunk) const {
    return base + static_cast<uint32>(row * kRowBytes + (chunk ^ swizzle(row)) * 16);
  }
  /// From the address of chunk 0 or 1 of a row that of the chunk so many on, an even number: one XOR, and a
  /// constant where `chunk` is one.
  __device__ static uint32 along(uint32 address, int chunk) {
    return (address ^ static_cast<uint32>(chunk % kSwizzled * 16)) +
           static_cast<uint32>(chunk / kSwizzled * kSwizzled * 16);
  }
  /// From the address of a row that of the row so many on, a multiple of 8.
  __device__ static uint32 down(uint32 address, int rows) {
    return address + static_cast<uint32>(rows * kRowBytes);
  }

  // Where a lane's ldmatrix.x4 starts in the tile's first 16 rows and 16 columns; along() and down() lead on.

  /// Of operand a, (rows, k) as it lies; and of b, (k, columns), transposed.
  __device__ uint32 lane_of_rows(int lane) const { return address(lane & 15, lane >> 4); }
  /// Of operand b where the tile has (columns, k): two of b's columns of 8: b0, b1 of one, then of the next.
  __device__ uint32 lane_of_columns(int lane) const {
    return address((lane & 7) + (lane >> 4) * 8, (lane >> 3) & 1);
  }
  /// Of operand a where the tile has (k, rows), transposed.
  __device__ uint32 lane_of_rows_transposed(int lane) const { return lane_of_columns(lane); }
};

/// How `Threads` threads share the copy of a tile from global memory: neighbours read neighbouring chunks,
/// and a thread's rows are all swizzled alike.
template <class Tile, int Threads>
struct TileCopy {
  static constexpr int kLanes = Tile::kSwizzled, kStep = Threads / kLanes;
  static constexpr int kPasses = (Tile::kRows + kStep - 1) / kStep;
  static_assert(kStep % 8 == 0);

  /// Copies rows [0, rows) of `elements` each (a multiple of 8), zeros elsewhere; row(r) points to row r's
  /// first element, and is asked for rows that are not there too.
  template <class Row>
  __device__ static void gather(Tile to, int rows, int elements, Row row) {
    const int lane = lane_of_thread(), first = row_of_thread();
    const uint32 address = to.address(first, lane);
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      const int r = first + pass * kStep;
      if (Tile::kRows % kStep != 0 && r >= Tile::kRows) break;
      copy_row(Tile::down(address, pass * kStep), row(r) + lane * 8, r < rows, elements);
    }
  }
  /// The same of rows that lie `stride` elements apart, from start(their first element, stride).
  template <class T>
  __device__ static const T* start(const T* first, int64 stride) {
    return first + row_of_thread() * stride + lane_of_thread() * 8;
  }
  template <class T>
  __device__ static void copy(Tile to, int rows, int elements, const T* from, int64 stride) {
    const int first = row_of_thread();
    const uint32 address = to.address(first, lane_of_thread());
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass, from += kStep * stride) {
      const int r = first + pass * kStep;
      if (Tile::kRows % kStep != 0 && r >= Tile::kRows) break;
      copy_row(Tile::down(address, pass * kStep), from, r < rows, elements);
    }
  }

 private:
  __device__ static int lane_of_thread() { return this_thread() % kLanes; }
  __device__ static int row_of_thread() { return this_thread() / kLanes; }
  // This thread's chunks of a row, the first of them at both addresses.
  template <class T>
  __device__ static void copy_row(uint32 to, const T* from, bool there, int elements) {
#pragma unroll
    for (int chunk = 0; chunk < Tile::kChunks; chunk += kLanes)
      copy_async_16(to + static_cast<uint32>(chunk * 16), from + chunk * 8,
                    there && (chunk + lane_of_thread()) * 8 < elements);
  }
};

}  // namespace fovea::cuda
