#pragma once

#include "kernels/cuda/element.h"
#include "kernels/cuda/math.h"
#include "kernels/cuda/warp.h"

// What the kernels of simple.cu share: products of small tiles through shared memory. A block owns 16 rows of
// one side and goes through the other side 32 rows at a time. A thread's row is one of the 16; 8 lanes share
// it, and of the other side's rows lane l has l, l + 8, l + 16, l + 24.

namespace fovea::cuda::simple {

constexpr int kThreads = 128, kOwn = 16, kOthers = 32, kLanes = 8, kEach = kOthers / kLanes;
constexpr int kSlice = 32;  // elements of a dot product at a time

/// Rows of (S, D) of one head; behind the last there are zeros.
template <class T>
struct Rows {
  const T* first;
  int64 stride;
  int count, dim;
  __device__ float get(int row, int d) const {
    return row < count && d < dim ? to_f32(first[row * stride + d]) : 0.0f;
  }
  __device__ Rows from(int row) const { return {first + row * stride, stride, count - row, dim}; }
};

/// Of shared memory.
struct DotStage {
  float own[kOwn][kSlice + 1], others[kOthers][kSlice + 1];
};

/// dot[n] = own row . other row
template <class T>
__device__ void dot_products(float (&dot)[kEach], DotStage& stage, const Rows<T>& own,
                             const Rows<T>& others) {
  const int thread = static_cast<int>(threadIdx.x), row = thread / kLanes, lane = thread % kLanes;
#pragma unroll
  for (float& x : dot) x = 0;
  for (int from = 0; from < own.dim; from += kSlice) {
    const int slice = min(kSlice, own.dim - from);
    __syncthreads();
    for (int e = thread; e < kOwn * kSlice; e += kThreads)
      if (e % kSlice < slice) stage.own[e / kSlice][e % kSlice] = own.get(e / kSlice, from + e % kSlice);
    for (int e = thread; e < kOthers * kSlice; e += kThreads)
      if (e % kSlice < slice)
        stage.others[e / kSlice][e % kSlice] = others.get(e / kSlice, from + e % kSlice);
    __syncthreads();
    for (int d = 0; d < slice; ++d) {
      const float x = stage.own[row][d];
#pragma unroll
      for (int n = 0; n < kEach; ++n) dot[n] = fmaf(x, stage.others[lane + n * kLanes][d], dot[n]);
    }
  }
}

/// Of shared memory: a weight per pair of an own and another row, and some columns of the others.
template <int Columns>
struct SumStage {
  float weights[kOwn][kOthers + 1], values[kOthers][Columns];
};

/// sum[n] += sum over others of weight[own row][other] * others[other][from + lane + 8 n]
template <int Columns, class T>
__device__ void add_weighted(float (&sum)[Columns / kLanes], SumStage<Columns>& stage,
                             const float (&weights)[kEach], const Rows<T>& others, int from) {
  const int thread = static_cast<int>(threadIdx.x), row = thread / kLanes, lane = thread % kLanes;
  __syncthreads();
#pragma unroll
  for (int n = 0; n < kEach; ++n) stage.weights[row][lane + n * kLanes] = weights[n];
  for (int e = thread; e < kOthers * Columns; e += kThreads)
    stage.values[e / Columns][e % Columns] = others.get(e / Columns, from + e % Columns);
  __syncthreads();
  const int count = min(kOthers, others.count);
  for (int other = 0; other < count; ++other) {
    const float weight = stage.weights[row][other];
#pragma unroll
    for (int n = 0; n < Columns / kLanes; ++n)
      sum[n] = fmaf(weight, stage.values[other][lane + n * kLanes], sum[n]);
  }
}

/// Stores factor * sum to a row's columns [from + lane + 8 n], or adds it.
template <class T, int Each>
__device__ void store_row(T* row, int dim, int from, const float (&sum)[Each], float factor,
                          bool accumulate) {
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
#pragma unroll
  for (int n = 0; n < Each; ++n) {
    const int d = from + lane + n * kLanes;
    if (d >= dim) break;
    row[d] = from_f32<T>((accumulate ? to_f32(row[d]) : 0.0f) + factor * sum[n]);
  }
}

/// s = scale * dot, or softcap * tanh(scale * dot / softcap), and ds / d(scale * dot).
struct Score {
  float s, slope;
  __device__ Score(float dot, float scale, float softcap) : s(scale * dot), slope(1) {
    if (softcap <= 0) return;
    const float t = tanhf(s / softcap);
    s = softcap * t;
    slope = 1 - t * t;
  }
};

}  // namespace fovea::cuda::simple
