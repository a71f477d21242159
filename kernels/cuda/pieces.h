#pragma once

#include <algorithm>

#include "core/dtype.h"
#include "kernels/cuda/element.h"

// Several successive elements of a row, which a thread reads and writes at once and sees as f32.

namespace fovea::cuda {

template <int kWidth>
struct Piece {
  float v[kWidth];
  __device__ float& operator[](int i) { return v[i]; }
  __device__ float operator[](int i) const { return v[i]; }
  __device__ Piece& operator+=(const Piece& other) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) v[i] += other[i];
    return *this;
  }
  __device__ Piece& operator*=(const Piece& other) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) v[i] *= other[i];
    return *this;
  }
};

/// How many elements make 16 bytes of the widest of these types.
template <class... T>
constexpr int kPieceWidth = static_cast<int>(16 / std::max({sizeof(T)...}));

template <int kWidth>
__device__ inline Piece<kWidth> load_whole(const float* p) {
  Piece<kWidth> piece;
#pragma unroll
  for (int i = 0; i < kWidth; i += 4) {
    const float4 x = *reinterpret_cast<const float4*>(p + i);
    piece[i] = x.x, piece[i + 1] = x.y, piece[i + 2] = x.z, piece[i + 3] = x.w;
  }
  return piece;
}
/// Of Bf16 or F16.
template <int kWidth, class T>
__device__ inline Piece<kWidth> load_whole(const T* p) {
  static_assert(sizeof(T) == 2 && (kWidth == 4 || kWidth == 8));
  uint32 words[kWidth / 2];
  if constexpr (kWidth == 8) {
    const uint4 x = *reinterpret_cast<const uint4*>(p);
    words[0] = x.x, words[1] = x.y, words[2] = x.z, words[3] = x.w;
  } else {
    const uint2 x = *reinterpret_cast<const uint2*>(p);
    words[0] = x.x, words[1] = x.y;
  }
  Piece<kWidth> piece;
#pragma unroll
  for (int i = 0; i < kWidth / 2; ++i) {
    piece[2 * i] = first_of<T>(words[i]);
    piece[2 * i + 1] = second_of<T>(words[i]);
  }
  return piece;
}

template <int kWidth>
__device__ inline void store_whole(float* p, const Piece<kWidth>& piece) {
#pragma unroll
  for (int i = 0; i < kWidth; i += 4)
    *reinterpret_cast<float4*>(p + i) = make_float4(piece[i], piece[i + 1], piece[i + 2], piece[i + 3]);
}
template <int kWidth, class T>
__device__ inline void store_whole(T* p, const Piece<kWidth>& piece) {
  static_assert(sizeof(T) == 2 && (kWidth == 4 || kWidth == 8));
  uint32 words[kWidth / 2];
#pragma unroll
  for (int i = 0; i < kWidth / 2; ++i) words[i] = pack<T>(piece[2 * i], piece[2 * i + 1]);
  if constexpr (kWidth == 8)
    *reinterpret_cast<uint4*>(p) = make_uint4(words[0], words[1], words[2], words[3]);
  else
    *reinterpret_cast<uint2*>(p) = make_uint2(words[0], words[1]);
}

/// Elements [i, i + kWidth) of a row of n; those past its end read as 0. `aligned`: row + i is a multiple of
/// kWidth elements, or of 16 bytes where these are more.
template <int kWidth, class T, class Index>
__device__ inline Piece<kWidth> load_piece(const T* row, Index i, Index n, bool aligned) {
  if (aligned && i + kWidth <= n) return load_whole<kWidth>(row + i);
  Piece<kWidth> piece;
#pragma unroll
  for (int j = 0; j < kWidth; ++j) piece[j] = i + j < n ? to_f32(row[i + j]) : 0.0f;
  return piece;
}
template <int kWidth, class T, class Index>
__device__ inline void store_piece(T* row, Index i, Index n, bool aligned, const Piece<kWidth>& piece) {
  if (aligned && i + kWidth <= n) return store_whole<kWidth>(row + i, piece);
#pragma unroll
  for (int j = 0; j < kWidth; ++j)
    if (i + j < n) row[i + j] = from_f32<T>(piece[j]);
}

/// Known to the compiler: all pieces of a row lie whole in it, each at a multiple of its size.
struct AllWhole {};
template <int kWidth, class T, class Index>
__device__ inline Piece<kWidth> load_piece(const T* row, Index i, Index, AllWhole) {
  return load_whole<kWidth>(row + i);
}
template <int kWidth, class T, class Index>
__device__ inline void store_piece(T* row, Index i, Index, AllWhole, const Piece<kWidth>& piece) {
  store_whole<kWidth>(row + i, piece);
}

}  // namespace fovea::cuda
