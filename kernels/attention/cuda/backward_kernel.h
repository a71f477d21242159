#pragma once

#include "kernels/attention/cuda/backward_shape.h"
#include "kernels/attention/cuda/sums_in_memory.h"
#include "kernels/attention/cuda/tiles.h"
#include "kernels/attention/cuda/turns.h"
#include "kernels/cuda/math.h"

// Backward of attention on tensor cores (Dao et al. 2022, algorithm 4; tiles as in FlashAttention-2). A block
// owns a tile of keys of a KV head and goes through the tiles of queries that see them, of each query head of
// the group, so that dk and dv stay in registers. dq is added to in memory, by one block after another in an
// order that shapes alone decide: the last tile of keys that a tile of queries sees comes first. Blocks take
// their places from a ticket in that order, so that whom one waits for is running already.

namespace fovea::cuda {

struct BackwardArguments {
  DeviceProblem problem;
  TileCut queries, keys;
  DeviceTensor q, k, v, dout, dk, dv;
  float log2_scale, scale_by_cap, log2_cap;  ///< scale log2(e), scale / softcap, softcap log2(e)
  RowStatistics statistics;                  ///< lse by log2(e)
  float* dq;                                 ///< (q_heads, slots, sums of a tile), scale not yet in it
  uint32* turns;                             ///< (q_heads, slots), zeros
  uint32* ticket;                            ///< 0
  int parts;                                 ///< blocks that share the query heads of a group
  float *dk_parts, *dv_parts;  ///< null: dk and dv are stored; else (parts, kv_heads, slots, sums of a tile)
};

template <class T, class Shape>
struct BackwardBlock {
  using Scores = typename Shape::Scores;
  using Dq = typename Shape::Dq;
  using Dk = typename Shape::Dk;
  using Dv = typename Shape::Dv;
  using Queries = typename Shape::Queries;
  using Outs = typename Shape::Outs;
  using Keys = typename Shape::Keys;
  using Values = typename Shape::Values;
  using Pairs = typename Shape::Pairs;
  static constexpr int kM = Shape::kM, kN = Shape::kN, kThreads = Shape::kThreads;

  const BackwardArguments& x;
  std::byte* const memory;  // shared
  const uint32 base;        // its address
  const int lane;

  // It lies in shared memory, and the compiler shall ask for it again rather than keep it: registers are
  // scarce where products are taken.
  __device__ const BackwardWork& work() const {
    int at = Shape::kWork;
    asm volatile("" : "+r"(at));
    return *reinterpret_cast<const BackwardWork*>(memory + at);
  }

  QueryTile now;  // that is multiplied
  __device__ QueryTile next() const {
    const Interval rows = work().rows;
    return now.row + kM < rows.end ? QueryTile{now.head, now.row + kM} : QueryTile{now.head + 1, rows.begin};
  }

  __device__ BackwardBlock(const BackwardArguments& arguments, std::byte* shared)
      : x(arguments),
        memory(shared),
        base(shared_address(shared)),
        lane(static_cast<int>(threadIdx.x) % kWarp) {}

  // Which tile of keys of which head, and which part of its group: tickets lead from the last tile to the
  // first.
  __device__ BackwardWork work_of(int ticket) const {
    const int unit = ticket / x.keys.count;
    const TileStart keys = x.keys.tile(x.keys.count - 1 - ticket % x.keys.count);
    BackwardWork w{.sequence = x.problem.sequence(keys.sequence),
                   .keys_begin = keys.row,
                   .kv_head = unit / x.parts,
                   .part = unit % x.parts};
    const Interval seen_by = w.sequence.queries_of({keys.row, min(keys.row + kN, w.sequence.k_len)});
    w.rows.begin = seen_by.begin / kM * kM;
    w.rows.end = seen_by.empty() ? w.rows.begin : (seen_by.end - 1) / kM * kM + kM;
    w.full_rows = w.sequence.queries_of_all({keys.row, keys.row + kN});
    const int heads = x.problem.group / x.parts;
    w.first_head = w.kv_head * x.problem.group + w.part * heads;
    w.steps = (w.rows.end - w.rows.begin) / kM * heads;
    w.q_slot = x.queries.first_slot(keys.sequence, w.sequence.q_first);
    w.k_slot = x.keys.first_slot(keys.sequence, w.sequence.k_first) + keys.row / kN;
    return w;
  }
  __device__ void take_work() {
    if (threadIdx.x == 0)
      *reinterpret_cast<BackwardWork*>(memory + Shape::kWork) =
          work_of(static_cast<int>(atomicAdd(x.ticket, 1u)));
    __syncthreads();
    now = {work().first_head, work().rows.begin};
  }

  // --- copies into shared memory

  template <class Tile>
  __device__ void copy_tile(int offset, const DeviceTensor& from, int first, int rows, int head, int dim) {
    using Copy = TileCopy<Tile, kThreads>;
    const uint16* const start =
        Copy::start(from.at<const uint16>(work().sequence.batch, first, head), from.row);
    Copy::copy(Tile{base + offset}, rows, dim, start, from.row);
  }
  __device__ void copy_keys() {
    const BackwardWork& w = work();
    const int first = w.sequence.k_first + w.keys_begin, rows = w.sequence.k_len - w.keys_begin;
    copy_tile<Keys>(Shape::kK, x.k, first, rows, w.kv_head, x.problem.qk_dim);
    copy_tile<Values>(Shape::kV, x.v, first, rows, w.kv_head, x.problem.v_dim);
  }
  __device__ static int q_offset(int n) {
    return Shape::kQ + (Shape::kTwoQueryTiles ? n % 2 * Queries::kBytes : 0);
  }
  __device__ static int statistics_offset(int n) { return Shape::kStatistics + n % 2 * 2 * kM * 4; }
  __device__ void copy_queries(int n, const QueryTile& s) {
    const BackwardWork& w = work();
    copy_tile<Queries>(q_offset(n), x.q, w.sequence.q_first + s.row, w.sequence.q_len - s.row, s.head,
                       x.problem.qk_dim);
    constexpr int kEach = kM / 4;  // threads for each statistic
    const int thread = static_cast<int>(threadIdx.x);
    if (thread < 2 * kEach) {
      const float* from = thread < kEach ? x.statistics.lse : x.statistics.delta;
      const int64 place = RowStatistics::place(x.queries, s.head, w.q_slot) + s.row + thread % kEach * 4;
      copy_async_16(base + statistics_offset(n) + thread * 16, from + place, true);
    }
  }
  __device__ void copy_dout(const QueryTile& s) {
    const BackwardWork& w = work();
    copy_tile<Outs>(Shape::kDout, x.dout, w.sequence.q_first + s.row, w.sequence.q_len - s.row, s.head,
                    x.problem.v_dim);
  }

  // --- products

  // Of operand a as it lies, (rows, k) at an offset; and of b from (columns, k).
  template <class Tile, class Place>
  __device__ auto rows_as_a(int offset, int first, Place) const {
    const uint32 start = Tile{0}.lane_of_rows(this_lane()) + first * Tile::kRowBytes;
    return [=, this](int i, int step, uint32(&to)[4]) {
      load_matrices(to, Tile::down(Tile::along(start, 2 * step), i * Place::kRowStep) + base + offset);
    };
  }
  template <class Tile, class Place>
  __device__ auto rows_as_b(int offset, int first, Place) const {
    const uint32 start = Tile{0}.lane_of_columns(this_lane()) + first * Tile::kRowBytes;
    return [=, this](int j, int step, uint32(&to)[4]) {
      load_matrices(to, Tile::down(Tile::along(start, 2 * step), j * Place::kColumnStep) + base + offset);
    };
  }
  // Of operand a from (k, rows), and of b from (k, columns).
  template <class Tile, class Place>
  __device__ auto columns_as_a(int offset, int first, Place) const {
    const uint32 start = Tile::along(Tile{0}.lane_of_rows_transposed(this_lane()), first / 8);
    return [=, this](int i, int step, uint32(&to)[4]) {
      load_matrices_transposed(
          to, Tile::down(Tile::along(start, i * Place::kRowStep / 8), 16 * step) + base + offset);
    };
  }
  template <class Tile, class Place>
  __device__ auto columns_as_b(int offset, int first, Place) const {
    const uint32 start = Tile::along(Tile{0}.lane_of_rows(this_lane()), first / 8);
    return [=, this](int j, int step, uint32(&to)[4]) {
      load_matrices_transposed(
          to, Tile::down(Tile::along(start, j * Place::kColumnStep / 8), 16 * step) + base + offset);
    };
  }

  // --- whose turn it is to add to dq

  __device__ Turn& pending_turn() const { return const_cast<BackwardWork&>(work()).turn; }
  // In the next step, after a barrier: by then what was added has arrived, so that the fence is short, and
  // the other warps do not wait for it.
  __device__ void end_turn() const {
    if (this_thread() == 0) pending_turn().end();
  }

  // --- elements of a tile of scores

  __device__ int score_row(const Scores& at, int i, int half) const {
    return at.row + i * Scores::kRowStep + half * 8 + lane / 4;
  }
  // The columns of the tile that a row of the tile sees.
  __device__ Interval seen_columns(const BackwardWork& w, int row) const {
    if (row >= w.sequence.q_len) return {};
    const Interval keys = w.sequence.keys_of(row);
    return {keys.begin - w.keys_begin, keys.end - w.keys_begin};
  }
  // Stores element(i, j, n) of the scores' places as a tile of 16 bits.
  template <class F>
  __device__ void store_pairs(int offset, const Scores& at, F element) const {
    const uint32 start = Pairs{base + offset}.address(at.row + lane / 4, at.column / 8) + lane % 4 * 4;
#pragma unroll
    for (int i = 0; i < Scores::kDown; ++i)
#pragma unroll
      for (int j = 0; j < 2 * Scores::kAcross; ++j) {
        const uint32 to = Pairs::down(Pairs::along(start ^ (j % 2 * 16), j / 2 * Scores::kColumnStep / 8),
                                      i * Scores::kRowStep);
        store_shared(to, pack<T>(element(i, j, 0), element(i, j, 1)));
        store_shared(Pairs::down(to, 8), pack<T>(element(i, j, 2), element(i, j, 3)));
      }
  }

  // f(element, its row's statistic, i, j, n) of each element c[i][j][n]
  template <class F>
  __device__ void for_each_score(const Scores& at, typename Scores::Sums& c, const float* statistic,
                                 F f) const {
#pragma unroll
    for (int i = 0; i < Scores::kDown; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float of_row = statistic[score_row(at, i, half)];
#pragma unroll
        for (int j = 0; j < 2 * Scores::kAcross; ++j)
#pragma unroll
          for (int n = 2 * half; n < 2 * half + 2; ++n) f(c[i][j][n], of_row, i, j, n);
      }
  }

  // What is hidden of a tile becomes `value`.
  __device__ void hide(const Scores& at, typename Scores::Sums& c, int row, float value) const {
    const BackwardWork& w = work();
#pragma unroll
    for (int i = 0; i < Scores::kDown; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const Interval seen = seen_columns(w, row + score_row(at, i, half));
        const int first = seen.begin - (at.column + lane % 4 * 2);
        const uint32 length = static_cast<uint32>(seen.end - seen.begin);
#pragma unroll
        for (int j = 0; j < 2 * Scores::kAcross; ++j)
#pragma unroll
          for (int n = 2 * half; n < 2 * half + 2; ++n) {
            const int column = j / 2 * Scores::kColumnStep + j % 2 * 8 + n % 2;
            if (static_cast<uint32>(column - first) >= length) c[i][j][n] = value;
          }
      }
  }

  __device__ void store_keys(typename Dk::Sums& dk, typename Dv::Sums& dv) const;
  __device__ void run();
};

template <class T, class Shape>
__device__ __forceinline__ void BackwardBlock<T, Shape>::store_keys(typename Dk::Sums& dk,
                                                                    typename Dv::Sums& dv) const {
  const DeviceProblem& p = x.problem;
  const BackwardWork& w = work();
  const DeviceSequence& s = w.sequence;
  if (x.dk_parts) {
    const int64 tile = (int64{w.part} * p.kv_heads + w.kv_head) * x.keys.slots + w.k_slot;
    SumsInMemory<Dk>{x.dk_parts + tile * (kN * Shape::kQkDim)}.store(dk);
    SumsInMemory<Dv>{x.dv_parts + tile * (kN * Shape::kVDim)}.store(dv);
    return;
  }
  const int first = s.k_first + w.keys_begin, rows = s.k_len - w.keys_begin;
  store_rows<T>(Dk(this_warp()), dk, p.scale, rows, p.qk_dim, false,
                [&](int r) { return x.dk.at<T>(s.batch, first + r, w.kv_head); });
  store_rows<T>(Dv(this_warp()), dv, 1, rows, p.v_dim, false,
                [&](int r) { return x.dv.at<T>(s.batch, first + r, w.kv_head); });
}

template <class T, class Shape>
__device__ void BackwardBlock<T, Shape>::run() {
  take_work();
  const DeviceProblem& p = x.problem;
  typename Dk::Sums dk;
  typename Dv::Sums dv;
  Dk::clear(dk);
  Dv::clear(dv);

  const bool capped = p.softcap > 0;
  if (work().steps > 0) {
    copy_keys();
    copy_queries(0, now);
    copy_dout(now);
    commit_copies();
  }

#pragma unroll 1
  for (int n = 0; n < work().steps; ++n) {
    const Interval full_rows = work().full_rows;
    const bool partial = now.row < full_rows.begin || now.row + kM > full_rows.end;
    const float* const lse = reinterpret_cast<const float*>(memory + statistics_offset(n));
    const float* const delta = lse + kM;

    wait_copies<0>();
    __syncthreads();
    if (n > 0) end_turn();
    if constexpr (Shape::kTwoQueryTiles) {
      if (n + 1 < work().steps) copy_queries(n + 1, next());
      commit_copies();
    }

    const Scores at(this_warp());
    // s = q k^T
    typename Scores::Sums s;
    Scores::clear(s);
    multiply<T, Shape::kQkDim / 16, Scores>(s, rows_as_a<Queries>(q_offset(n), at.row, at),
                                            rows_as_b<Keys>(Shape::kK, at.column, at));
    // probability = exp(scale s - lse); hidden ones are -0, which no exponential is. With a softcap s stays
    // tanh(scale s / cap), hidden ones 2, which no tanh is.
    constexpr float kHiddenTanh = 2;
    if (!capped) {
      for_each_score(at, s, lse, [&](float& e, float row_lse, int, int, int) {
        e = exp2_approx(fmaf(e, x.log2_scale, -row_lse));
      });
      if (partial) hide(at, s, now.row, -0.0f);
      store_pairs(Shape::kP, at, [&](int i, int j, int m) { return s[i][j][m]; });
    } else {
      for_each_score(at, s, lse, [&](float& e, float, int, int, int) { e = tanh_f32(e * x.scale_by_cap); });
      if (partial) hide(at, s, now.row, kHiddenTanh);
      store_pairs(Shape::kP, at, [&](int i, int j, int m) {
        const float row_lse = lse[score_row(at, i, m / 2)];
        return s[i][j][m] == kHiddenTanh ? 0 : exp2_approx(fmaf(s[i][j][m], x.log2_cap, -row_lse));
      });
    }

    // dprobability = dout v^T
    typename Scores::Sums ds;
    Scores::clear(ds);
    multiply<T, Shape::kVDim / 16, Scores>(ds, rows_as_a<Outs>(Shape::kDout, at.row, at),
                                           rows_as_b<Values>(Shape::kV, at.column, at));
    // ds = probability (dprobability - delta), times the slope of the softcap
    if (capped) {
      for_each_score(at, ds, delta, [&](float& e, float row_delta, int i, int j, int m) {
        const float t = s[i][j][m];
        const float probability = exp2_approx(fmaf(t, x.log2_cap, -lse[score_row(at, i, m / 2)]));
        e = t == kHiddenTanh ? 0 : probability * (e - row_delta) * fmaf(-t, t, 1.0f);
      });
    } else if (partial) {
      for_each_score(at, ds, delta, [&](float& e, float row_delta, int i, int j, int m) {
        e = __float_as_int(s[i][j][m]) == __float_as_int(-0.0f) ? 0 : s[i][j][m] * (e - row_delta);
      });
    } else {
      for_each_score(at, ds, delta, [&](float& e, float row_delta, int i, int j, int m) {
        e = s[i][j][m] * (e - row_delta);
      });
    }
    store_pairs(Shape::kDs, at, [&](int i, int j, int m) { return ds[i][j][m]; });
    __syncthreads();

    // dv += probability^T dout
    const Dv of_dv(this_warp());
    multiply<T, kM / 16, Dv>(dv, columns_as_a<Pairs>(Shape::kP, of_dv.row, of_dv),
                             columns_as_b<Outs>(Shape::kDout, of_dv.column, of_dv));
    __syncthreads();
    if (n + 1 < work().steps) copy_dout(next());
    commit_copies();

    // dq += ds k
    const BackwardWork& w = work();
    const int last_row = min(now.row + kM, w.sequence.q_len) - 1;
    const int q_tile = now.head * x.queries.slots + w.q_slot + now.row / kM;
    const Turn turn{x.turns + q_tile,
                    static_cast<uint32>((w.sequence.keys_of(last_row).end - 1) / kN - w.keys_begin / kN)};
    const uint32 over = turn.over();
    const Dq of_dq(this_warp());
    typename Dq::Sums dq;
    Dq::clear(dq);
    multiply<T, kN / 16, Dq>(dq, rows_as_a<Pairs>(Shape::kDs, of_dq.row, of_dq),
                             columns_as_b<Keys>(Shape::kK, of_dq.column, of_dq));
    const SumsInMemory<Dq> sums{x.dq + int64{q_tile} * (kM * Shape::kQkDim)};
    if (turn.number == 0) {
      sums.store(dq);
    } else {
      turn.wait(over);
      sums.add(dq);
    }

    // dk += ds^T q
    const Dk of_dk(this_warp());
    multiply<T, kM / 16, Dk>(dk, columns_as_a<Pairs>(Shape::kDs, of_dk.row, of_dk),
                             columns_as_b<Queries>(q_offset(n), of_dk.column, of_dk));
    if (this_thread() == 0) pending_turn() = turn;
    if constexpr (!Shape::kTwoQueryTiles) {
      __syncthreads();
      if (n + 1 < work().steps) copy_queries(n + 1, next());
      commit_copies();
    }
    now = next();
  }

  __syncthreads();
  if (work().steps > 0) end_turn();
  store_keys(dk, dv);
}

template <class T, class Shape>
__global__ void __launch_bounds__(Shape::kThreads, Shape::kBlocksOnSm) backward_kernel(BackwardArguments x) {
  extern __shared__ __align__(1024) std::byte backward_memory[];
  BackwardBlock<T, Shape>(x, backward_memory).run();
}

}  // namespace fovea::cuda
