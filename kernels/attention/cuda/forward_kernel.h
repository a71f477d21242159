#pragma once

#include "kernels/attention/cuda/forward.h"
#include "kernels/attention/cuda/forward_tile.h"
#include "kernels/cuda/math.h"
#include "kernels/cuda/shared_tile.h"
#include "kernels/cuda/warp.h"

namespace fovea::cuda {

/// Sizes of one kernel: a block of `Warps` warps owns M rows, 16 or 32 to a warp, and walks over tiles of N
/// keys.
template <class Element_, int M, int N, int Dqk, int Dv, int Warps, int Blocks>
struct ForwardSizes {
  using T = Element_;
  static constexpr int kM = M, kN = N, kDqk = Dqk, kDv = Dv, kWarps = Warps;
  static constexpr int kThreads = Warps * kWarp, kBlocks = Blocks;  // blocks that a multiprocessor shall hold
  static constexpr int kRowsPerWarp = M / Warps, kAtoms = kRowsPerWarp / 16;
  using Q = SharedTile<M, Dqk>;
  using K = SharedTile<N, Dqk>;
  using V = SharedTile<N, Dv>;
  using Out = SharedTile<kRowsPerWarp, Dv>;  // of one warp, where its rows of q were
  static constexpr int kSharedBytes = Q::kBytes + K::kBytes + V::kBytes;
  static_assert(kRowsPerWarp % 16 == 0 && Dv <= Dqk);
};

/// A warp's sums of products: atoms of 16 rows by 8 columns, as mma.h has them.
template <int Atoms, int Columns>
struct Sums {
  float x[Atoms][Columns / 8][4];
};

template <int Atoms, int Columns, class F>
__device__ inline void for_each(Sums<Atoms, Columns>& s, F f) {
#pragma unroll
  for (int a = 0; a < Atoms; ++a)
#pragma unroll
    for (int n = 0; n < Columns / 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) f(s.x[a][n][e]);
}

/// Softmax of a warp's rows as far as keys were seen: rows 16 atom + 8 half + lane / 4.
template <int Atoms>
struct RunningSoftmax {
  float most[Atoms][2], sum[Atoms][2];  // of scores; of exp2(c (score - most)) in this lane's columns

  __device__ RunningSoftmax() {
#pragma unroll
    for (int a = 0; a < Atoms; ++a)
#pragma unroll
      for (int half = 0; half < 2; ++half) most[a][half] = -kInfinity, sum[a][half] = 0;
  }
};

/// s = q k' of a warp's rows.
template <class Sizes>
__device__ inline void multiply_scores(typename Sizes::Q q_tile, typename Sizes::K k_tile,
                                       Sums<Sizes::kAtoms, Sizes::kN>& s) {
  using Q = typename Sizes::Q;
  using K = typename Sizes::K;
  const uint32 q = Q::down(q_tile.lane_of_rows(this_lane()), this_warp() * Sizes::kRowsPerWarp);
  const uint32 k = k_tile.lane_of_columns(this_lane());
  for_each(s, [](float& x) { x = 0; });
#pragma unroll
  for (int d = 0; d < Sizes::kDqk / 16; ++d) {
    uint32 a[Sizes::kAtoms][4];
#pragma unroll
    for (int atom = 0; atom < Sizes::kAtoms; ++atom)
      load_matrices(a[atom], Q::down(Q::along(q, d * 2), atom * 16));
#pragma unroll
    for (int n = 0; n < Sizes::kN / 16; ++n) {
      uint32 b[4];
      load_matrices(b, K::down(K::along(k, d * 2), n * 16));
#pragma unroll
      for (int atom = 0; atom < Sizes::kAtoms; ++atom) {
        mma<typename Sizes::T>(s.x[atom][2 * n], a[atom], b[0], b[1]);
        mma<typename Sizes::T>(s.x[atom][2 * n + 1], a[atom], b[2], b[3]);
      }
    }
  }
}

/// o += p v, p rounded to 16 bits on its way.
template <class Sizes>
__device__ inline void add_values(const Sums<Sizes::kAtoms, Sizes::kN>& p, typename Sizes::V v_tile,
                                  Sums<Sizes::kAtoms, Sizes::kDv>& o) {
  using T = typename Sizes::T;
  using V = typename Sizes::V;
  const uint32 v = v_tile.lane_of_rows(this_lane());
#pragma unroll
  for (int n = 0; n < Sizes::kN / 16; ++n) {
    uint32 a[Sizes::kAtoms][4];
#pragma unroll
    for (int atom = 0; atom < Sizes::kAtoms; ++atom) {
      const float(&left)[4] = p.x[atom][2 * n], (&right)[4] = p.x[atom][2 * n + 1];
      a[atom][0] = pack<T>(left[0], left[1]), a[atom][1] = pack<T>(left[2], left[3]);
      a[atom][2] = pack<T>(right[0], right[1]), a[atom][3] = pack<T>(right[2], right[3]);
    }
#pragma unroll
    for (int d = 0; d < Sizes::kDv / 16; ++d) {
      uint32 b[4];
      load_matrices_transposed(b, V::down(V::along(v, d * 2), n * 16));
#pragma unroll
      for (int atom = 0; atom < Sizes::kAtoms; ++atom) {
        mma<T>(o.x[atom][2 * d], a[atom], b[0], b[1]);
        mma<T>(o.x[atom][2 * d + 1], a[atom], b[2], b[3]);
      }
    }
  }
}

/// Scores that exp2 cannot take with one factor: capped ones, and those whose factor is not positive.
template <int Atoms, int N>
__device__ inline void transform_scores(const DeviceProblem& problem, Sums<Atoms, N>& s) {
  const float scale = problem.scale, cap = problem.softcap;
  if (cap > 0) {
    const float inside = scale / cap;
    for_each(s, [=](float& x) { x = cap * tanh_f32(x * inside); });
  } else {
    for_each(s, [=](float& x) { x *= scale; });
  }
}

/// -inf for what its row does not see; `row` is the warp's first, `first_key` the tile's.
template <int Atoms, int N>
__device__ inline void mask_scores(const DeviceProblem& problem, const ForwardTile& tile, int row,
                                   int first_key, Sums<Atoms, N>& s) {
  const int lane = this_lane();
  const int column = first_key + lane % 4 * 2;  // of s.x[][0][0]
#pragma unroll
  for (int a = 0; a < Atoms; ++a)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Interval keys = tile.keys_of_row(problem, row + a * 16 + half * 8 + lane / 4);
      const uint32 seen = static_cast<uint32>(keys.end - keys.begin);
      const int offset = column - keys.begin;
#pragma unroll
      for (int n = 0; n < N / 8; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e)
          if (static_cast<uint32>(offset + n * 8 + e) >= seen) s.x[a][n][half * 2 + e] = -kInfinity;
    }
}

/// Beyond, c most is rounded too coarsely to be subtracted within one fused multiply-add.
constexpr float kCoarse = 0x1p16f;
/// What c (score - most) subtracts, as c most: nothing of rows that have seen nothing yet, exp2(-inf) is 0,
/// nor of coarse ones, where it was subtracted before.
__device__ inline float shift_of(float most, float c) {
  const float shift = most * c;
  return fabsf(shift) > kCoarse ? 0.0f : shift;
}

/// Probabilities from scores, relative to the most so far; sums and out follow. c = log2(e) times the scale.
template <int Atoms, int N, int Dv>
__device__ inline void step_softmax(float c, Sums<Atoms, N>& s, RunningSoftmax<Atoms>& softmax,
                                    Sums<Atoms, Dv>& o) {
  bool coarse = false;
#pragma unroll
  for (int a = 0; a < Atoms; ++a)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float before = softmax.most[a][half];
      float most = before;
#pragma unroll
      for (int n = 0; n < N / 8; ++n) most = fmaxf(most, fmaxf(s.x[a][n][half * 2], s.x[a][n][half * 2 + 1]));
      most = quad_max(most);
      softmax.most[a][half] = most;
      const float rescale = exp2_approx((before - (most == -kInfinity ? 0.0f : most)) * c);
      softmax.sum[a][half] *= rescale;
#pragma unroll
      for (int d = 0; d < Dv / 8; ++d) o.x[a][d][half * 2] *= rescale, o.x[a][d][half * 2 + 1] *= rescale;
      coarse = coarse || (fabsf(most * c) > kCoarse && most != -kInfinity);
    }
  if (__any_sync(kAllLanes, coarse)) {
#pragma unroll
    for (int a = 0; a < Atoms; ++a)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float most = softmax.most[a][half];
        const float from = fabsf(most * c) > kCoarse && most != -kInfinity ? most : 0.0f;
#pragma unroll
        for (int n = 0; n < N / 8; ++n) s.x[a][n][half * 2] -= from, s.x[a][n][half * 2 + 1] -= from;
      }
  }
#pragma unroll
  for (int a = 0; a < Atoms; ++a)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float shift = shift_of(softmax.most[a][half], c);
#pragma unroll
      for (int n = 0; n < N / 8; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& x = s.x[a][n][half * 2 + e];
          x = exp2_approx(fmaf(x, c, -shift));
          softmax.sum[a][half] += x;
        }
    }
}

/// Factor of a row's sums, and log2 of its sum of exponentials, with the sink's if there is one.
struct RowEnd {
  float factor, log2_sum;
};
__device__ inline RowEnd end_row(float most, float sum, float c, const float* sink) {
  const float top = most == -kInfinity ? -kInfinity : most * c;
  if (!sink) return {1 / sum, top + log2f(sum)};
  const float sink_top = *sink * kLog2E, both = fmaxf(top, sink_top);
  const float from = both == -kInfinity ? 0.0f : both;
  const float weight = exp2_approx(top - from), all = sum * weight + exp2_approx(sink_top - from);
  return {weight / all, from + log2f(all)};
}

/// Two rows of out from a warp's sums, by way of shared memory, so that whole sectors are written.
template <class Sizes>
__device__ inline void store_out(const ForwardArguments& x, const ForwardTile& tile, typename Sizes::Q q,
                                 const Sums<Sizes::kAtoms, Sizes::kDv>& o) {
  using T = typename Sizes::T;
  using Out = typename Sizes::Out;
  const int lane = this_lane(), first = this_warp() * Sizes::kRowsPerWarp;
  const Out out{Sizes::Q::down(q.base, first)};
  __syncwarp();  // every lane has read its q
#pragma unroll
  for (int a = 0; a < Sizes::kAtoms; ++a)
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int d = 0; d < Sizes::kDv / 8; ++d)
        store_shared(out.address(a * 16 + half * 8 + lane / 4, d) + static_cast<uint32>(lane % 4 * 4),
                     pack<T>(o.x[a][d][half * 2], o.x[a][d][half * 2 + 1]));
  __syncwarp();
  constexpr int kLanes = Out::kSwizzled, kStep = kWarp / kLanes;
#pragma unroll
  for (int r = lane / kLanes; r < Sizes::kRowsPerWarp; r += kStep) {
    if (first + r >= tile.rows) break;
    const RowPlace place = tile.place(x.problem, first + r);
    T* to = x.out.at<T>(tile.sequence.batch, tile.sequence.q_first + place.query, place.head);
#pragma unroll
    for (int chunk = lane % kLanes; chunk < Out::kChunks; chunk += kLanes)
      if (chunk * 8 < x.problem.v_dim)
        *reinterpret_cast<uint4*>(to + chunk * 8) = load_shared(out.address(r, chunk));
  }
}

/// A part's out and log2 of its sums.
template <class Sizes>
__device__ inline void store_partial(const ForwardArguments& x, const ForwardTile& tile, int row, int half,
                                     float log2_sum, const float (&o)[Sizes::kDv / 8][4]) {
  const DeviceProblem& problem = x.problem;
  const RowPlace place = tile.place(problem, row);
  const int64 query = int64{tile.sequence.batch} * problem.q_len + tile.sequence.q_first + place.query;
  const int64 rows = int64{problem.batch} * problem.q_len * problem.q_heads;
  const int64 at = tile.split * rows + query * problem.q_heads + place.head;
  const int column = this_thread() % 4 * 2;
  if (column == 0) x.partial_lse[at] = log2_sum;
  float* to = x.partial_out + at * problem.v_dim + column;
#pragma unroll
  for (int d = 0; d < Sizes::kDv / 8; ++d)
    if (d * 8 < problem.v_dim) *reinterpret_cast<float2*>(to + d * 8) = {o[d][half * 2], o[d][half * 2 + 1]};
}

/// Divides by the sums, and stores out and lse, or what a part of the keys came to.
template <class Sizes>
__device__ inline void finish(const ForwardArguments& x, const ForwardTile& tile, typename Sizes::Q q,
                              const RunningSoftmax<Sizes::kAtoms>& softmax,
                              Sums<Sizes::kAtoms, Sizes::kDv>& o) {
  const int lane = this_lane();
  const int first = this_warp() * Sizes::kRowsPerWarp;
#pragma unroll
  for (int a = 0; a < Sizes::kAtoms; ++a)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first + a * 16 + half * 8 + lane / 4;
      const float sum = quad_sum(softmax.sum[a][half]);
      const RowPlace place = tile.place(x.problem, row < tile.rows ? row : 0);
      const float* sink = x.sink && x.splits == 1 ? x.sink + place.head : nullptr;
      const RowEnd end = end_row(softmax.most[a][half], sum, x.c, sink);
      // What a blind row multiplied by 0 may not have been finite.
      const bool blind = tile.keys_of_row(x.problem, row).empty();
#pragma unroll
      for (int d = 0; d < Sizes::kDv / 8; ++d)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& value = o.x[a][d][half * 2 + e];
          value = blind ? 0.0f : value * end.factor;
        }
      if (row >= tile.rows) continue;
      if (x.splits > 1) {
        store_partial<Sizes>(x, tile, row, half, end.log2_sum, o.x[a]);
      } else if (lane % 4 == 0) {
        *x.lse.at<float>(tile.sequence.batch, tile.sequence.q_first + place.query, place.head) =
            end.log2_sum * kLn2;
      }
    }
  if (x.splits == 1) store_out<Sizes>(x, tile, q, o);
}

/// One tile of rows against its keys, last to first: while scores are multiplied the values are on their way,
/// and the next keys while softmax runs and values are added.
template <class Sizes>
__global__ __launch_bounds__(Sizes::kThreads,
                             Sizes::kBlocks) void forward_kernel(const __grid_constant__ ForwardArguments x) {
  using T = typename Sizes::T;
  using Q = typename Sizes::Q;
  using K = typename Sizes::K;
  using V = typename Sizes::V;
  constexpr int kN = Sizes::kN, kAtoms = Sizes::kAtoms;
  extern __shared__ __align__(128) unsigned char shared[];
  const Q q_tile{shared_address(shared)};
  const K k_tile{q_tile.base + Q::kBytes};
  const V v_tile{k_tile.base + K::kBytes};

  // What is asked for now and then lies there, and not in registers.
  __shared__ ForwardTile tile;
  __shared__ WarpKeys seen_by[Sizes::kWarps];
  const DeviceProblem& problem = x.problem;
  if (threadIdx.x == 0) tile = forward_tile<Sizes::kM, kN>(x);
  __syncthreads();
  if (this_lane() == 0)
    seen_by[this_warp()] = tile.keys_of(problem, this_warp() * Sizes::kRowsPerWarp, Sizes::kRowsPerWarp);
  __syncwarp();

  const DeviceSequence& sequence = tile.sequence;
  // This thread's share of the next tiles, which are asked for in their order.
  using CopyK = TileCopy<K, Sizes::kThreads>;
  using CopyV = TileCopy<V, Sizes::kThreads>;
  const int64 last_key = sequence.k_first + int64{tile.end - 1} * kN;
  const T* k = CopyK::start(x.k.at<T>(sequence.batch, last_key, tile.kv_head), x.k.row);
  const T* v = CopyV::start(x.v.at<T>(sequence.batch, last_key, tile.kv_head), x.v.row);
  const auto load_keys = [&](int n) {
    CopyK::copy(k_tile, sequence.k_len - n * kN, problem.qk_dim, k, x.k.row);
    k -= kN * x.k.row;
  };
  const auto load_values = [&](int n) {
    CopyV::copy(v_tile, sequence.k_len - n * kN, problem.v_dim, v, x.v.row);
    v -= kN * x.v.row;
  };

  if (tile.begin < tile.end) {
    TileCopy<Q, Sizes::kThreads>::gather(q_tile, tile.rows, problem.qk_dim, [&](int row) {
      const RowPlace place = tile.place(problem, row);
      return x.q.at<T>(sequence.batch, sequence.q_first + place.query, place.head);
    });
    load_keys(tile.end - 1);
    commit_copies();
  }
  RunningSoftmax<kAtoms> softmax;
  Sums<kAtoms, Sizes::kDv> o;
  for_each(o, [](float& x) { x = 0; });
  for (int n = tile.end - 1; n >= tile.begin; --n) {
    const Interval here{n * kN, n * kN + kN};
    const WarpKeys& seen = seen_by[this_warp()];
    const bool sees = seen.some.begin < here.end && seen.some.end > here.begin;
    Sums<kAtoms, kN> s;
    wait_copies<0>();
    __syncthreads();  // keys are there, and nobody reads the values before
    load_values(n);
    commit_copies();
    // Of two atoms always: with the choice they spill.
    if (kAtoms > 1 || sees) multiply_scores<Sizes>(q_tile, k_tile, s);
    wait_copies<0>();
    __syncthreads();  // values are there, and nobody reads the keys any more
    if (n > tile.begin) {
      load_keys(n - 1);
      commit_copies();
    }
    if (!sees) continue;
    if (x.transformed) transform_scores(problem, s);
    if (seen.all.begin > here.begin || seen.all.end < here.end)
      mask_scores(problem, tile, this_warp() * Sizes::kRowsPerWarp, here.begin, s);
    step_softmax(x.c, s, softmax, o);
    add_values<Sizes>(s, v_tile, o);
  }
  finish<Sizes>(x, tile, q_tile, softmax, o);
}

template <class Sizes>
constexpr ForwardKernel describe() {
  return {forward_kernel<Sizes>, Sizes::kM, Sizes::kN, Sizes::kThreads, Sizes::kSharedBytes};
}
/// M, N, Dqk, Dv, warps, blocks of a multiprocessor.
template <int... Sizes>
struct OfBoth {
  static constexpr ForwardKernel bf16 = describe<ForwardSizes<Bf16, Sizes...>>(),
                                 f16 = describe<ForwardSizes<F16, Sizes...>>();
};
template <class Many, class Few>
constexpr ForwardKernels kernels_of(int qk_dim, int v_dim) {
  return {qk_dim, v_dim, {Many::bf16, Many::f16}, {Few::bf16, Few::f16}};
}

}  // namespace fovea::cuda
