// The backward pass of a unit. Included once per target.
#if defined(FOVEA_ATTENTION_BACKWARD_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_ATTENTION_BACKWARD_INL_H
#undef FOVEA_ATTENTION_BACKWARD_INL_H
#else
#define FOVEA_ATTENTION_BACKWARD_INL_H
#endif

#include <cmath>
#include <numbers>

#include "kernels/attention/cpu/exp-inl.h"
#include "kernels/attention/cpu/passes.h"
#include "kernels/attention/cpu/product-inl.h"
#include "kernels/attention/cpu/scores-inl.h"
#include "kernels/attention/cpu/tiles-inl.h"
#include "kernels/attention/cpu/visible-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {

using flash::kKeys;
using flash::kQueries;

/// What one backward unit works on.
struct BackwardUnit {
  const AttentionBackward& op;
  const flash::Unit& unit;
  const flash::BackwardMemory& memory;
  float* dq;  // (R, D), unscaled
  Scores scores;
  int64 D, Dv;  // padded
  int64 E, Ev;  // elements of their rows
  int64 rows;
};

/// Packs kQueries rows of q, out or dout into `tile` (kQueries, elements), and its transpose.
template <class Tiles>
void pack_query_tile(const flash::GroupRows& from, Range rows, int64 columns, float* tile,
                     float* transposed) {
  Tiles::pack_along(from, rows, columns, tile);
  transpose_tile(tile, rows.size(), flash::elements(columns, Tiles::kWidth), transposed);
}

/// delta of kQueries rows whose dout is packed as (Ev, kQueries). The order of its sum is that of dp's, so
/// that a row which sees one key alone has dp - delta = 0 to the last bit.
template <class Tiles>
void find_delta(const BackwardUnit& u, int64 row, int64 n) {
  const auto& [op, unit, memory, dq, scores, D, Dv, E, Ev, rows] = u;
  const F32 d;
  pack_query_tile<Tiles>(flash::query_rows(op.problem, unit, op.out), {row, row + n}, op.problem.v_dim,
                         memory.rows, memory.out);
  const float* out = planted(Bug::wrong_delta) ? memory.dout : memory.out;
  for (int64 lane = 0; lane < kQueries; lane += hn::MaxLanes(d)) {
    // forward: out = sum_j p_j v_j, so the sum over j of p_j dp_j is out . dout
    F32V sum = hn::Zero(d);
    for (int64 c = 0; c < ceil_div(op.problem.v_dim, Tiles::kWidth); ++c) {
      const int64 at = c * kQueries + lane;
      sum = Tiles::multiply_add(hn::Load(d, out + at), hn::Load(d, memory.dout + at), sum);
    }
    hn::Store(sum, d, memory.delta + row + lane);
  }
}

/// Packs kQueries rows, both ways round.
template <class Tiles>
void pack_queries(const BackwardUnit& u, int64 row, int64 n) {
  const auto& [op, unit, memory, dq, scores, D, Dv, E, Ev, rows] = u;
  const flash::GroupRows q = flash::query_rows(op.problem, unit, op.q),
                         dout = flash::query_rows(op.problem, unit, op.dout);
  constexpr bool kInPlace = Tiles::kWidth == 1;
  float* tile = kInPlace ? memory.q_rows : memory.rows;
  pack_query_tile<Tiles>(q, {row, row + n}, op.problem.qk_dim, tile, memory.q);
  Tiles::lay_across(tile, kQueries, op.problem.qk_dim, memory.q_rows);
  tile = kInPlace ? memory.dout_rows : memory.rows;
  pack_query_tile<Tiles>(dout, {row, row + n}, op.problem.v_dim, tile, memory.dout);
  Tiles::lay_across(tile, kQueries, op.problem.v_dim, memory.dout_rows);
  if (memory.met[row / kQueries]) return;
  memory.met[row / kQueries] = 1;
  find_delta<Tiles>(u, row, n);
  std::memset(dq + row * D, 0, static_cast<size_t>(n * D) * sizeof(float));
}

/// Visible keys and lse of every row; no delta yet.
inline void begin_backward(const BackwardUnit& u) {
  const auto& [op, unit, memory, dq, scores, D, Dv, E, Ev, rows] = u;
  flash::find_keys(unit, {0, rows}, memory.first, memory.last);
  for (int64 row = 0; row < rows; row += kQueries) {
    memory.met[row / kQueries] = 0;
    memory.seen[row / kQueries] =
        seen_by_tile({memory.first, memory.last}, {row, std::min(rows, row + kQueries)});
  }
  int64 r = 0;
  flash::lse_rows(op.problem, unit, op.lse).for_each({0, rows}, [&](const std::byte* lse) {
    // A row that sees nothing is masked throughout: any finite number serves.
    const bool any = u.memory.first[r] < u.memory.last[r];
    u.memory.lse[r++] = any ? *reinterpret_cast<const float*>(lse) * std::numbers::log2e_v<float> : 0;
  });
  for (; r < round_up(rows, kQueries); ++r) memory.lse[r] = 0;
}

/// dsink (group) of the rows whose last key is the unit's; their delta is known by then.
inline void find_dsink(const BackwardUnit& u, float* dsink) {
  const auto& [op, unit, memory, dq, scores, D, Dv, E, Ev, rows] = u;
  for (int64 r = 0; r < rows; ++r) {
    const int64 last = memory.last[r];
    if (memory.first[r] >= last || last <= unit.keys.begin || last > unit.keys.end) continue;
    // forward: the sink's share is exp(sink - lse), of a value 0
    const int64 h = r / unit.queries.size();
    const float sink = op.sink.data<float>()[flash::query_head(op.problem, unit.kv_head, h)];
    dsink[h] -= std::exp2(sink * std::numbers::log2e_v<float> - memory.lse[r]) * memory.delta[r];
  }
}

/// A tile of scores on its way to p and ds, both (keys, kQueries); slope null where scores are not capped.
struct SoftTile {
  RowKeys row_keys;
  const float *lse, *delta;  // (kQueries); lse to base 2
  Range keys;
  float late;
  const float *s, *dp, *slope;
};

struct PAndDs {
  F32V p, ds;
};

/// p = exp2(late s - lse) and ds = p (dp - delta) of key j of the tile and a vector of queries.
template <bool kMasked>
HWY_INLINE PAndDs soften_backward(const SoftTile& tile, int64 j, int64 lane) {
  const F32 d;
  const int64 at = j * kQueries + lane;
  const F32V x = hn::MulSub(hn::Set(d, tile.late), hn::Load(d, tile.s + at), hn::Load(d, tile.lse + lane));
  // exp2 wants at most 128, the first infinite power; this order of operands keeps a NaN.
  F32V p = exp2(hn::Min(hn::Set(d, 128.0f), x));
  F32V ds = hn::Mul(p, hn::Sub(hn::Load(d, tile.dp + at), hn::Load(d, tile.delta + lane)));
  // forward: s = softcap tanh(x / softcap), so dx = ds (1 - tanh^2)
  if (tile.slope) ds = hn::Mul(ds, hn::Load(d, tile.slope + at));
  if (kMasked) {
    const auto seen = sees(tile.row_keys, lane, tile.keys.begin + j);
    p = hn::IfThenElseZero(seen, p);
    ds = hn::IfThenElseZero(seen, ds);
  }
  return {p, ds};
}

/// p and ds of some keys and lanes of a tile, in place.
template <bool kMasked>
HWY_INLINE void soften_keys(F32Tiles, const SoftTile& tile, Range keys, Range lanes,
                            const flash::BackwardMemory& memory) {
  const F32 d;
  for (int64 lane = lanes.begin; lane < lanes.end; lane += hn::MaxLanes(d))
    for (int64 j = keys.begin; j < keys.end; ++j) {
      const PAndDs soft = soften_backward<kMasked>(tile, j, lane);
      hn::Store(soft.p, d, memory.p + j * kQueries + lane);
      hn::Store(soft.ds, d, memory.ds + j * kQueries + lane);
    }
}

/// ds of a tile of keys x kQueries rows, and p: what all gradients are products of. The
/// visible parts alone.
template <class Tiles>
void score_tile(const BackwardUnit& u, int64 row, const VisibleParts& parts, int64 block, Range keys) {
  const auto& [op, unit, memory, dq, scores, D, Dv, E, Ev, rows] = u;
  // forward: S^T = K Q^T
  multiply_visible<Tiles>(parts, {.M = keys.size(),
                                  .N = kQueries,
                                  .K = ceil_div(op.problem.qk_dim, Tiles::kWidth),
                                  .a = memory.k + (keys.begin - block) * E,
                                  .a_stride = E,
                                  .b = memory.q,
                                  .b_stride = kQueries,
                                  .c = memory.s,
                                  .c_stride = kQueries,
                                  .accumulate = false});
  // forward: O = P V, so dP^T = V dO^T
  multiply_visible<Tiles>(parts, {.M = keys.size(),
                                  .N = kQueries,
                                  .K = ceil_div(op.problem.v_dim, Tiles::kWidth),
                                  .a = memory.v + (keys.begin - block) * Ev,
                                  .a_stride = Ev,
                                  .b = memory.dout,
                                  .b_stride = kQueries,
                                  .c = memory.dp,
                                  .c_stride = kQueries,
                                  .accumulate = false});
  const SoftTile tile{{memory.first + row, memory.last + row},
                      memory.lse + row,
                      memory.delta + row,
                      keys,
                      scores.late,
                      memory.s,
                      memory.dp,
                      scores.cap > 0 ? memory.slope : nullptr};
  for (const auto& [scored, lanes, all] : parts) {
    if (scores.adjusted()) adjust_scores(scores, scored, lanes, memory.s, memory.slope);
    soften_keys<true>(Tiles(), tile, {scored.begin, all.begin}, lanes, memory);
    soften_keys<false>(Tiles(), tile, all, lanes, memory);
    soften_keys<true>(Tiles(), tile, {all.end, scored.end}, lanes, memory);
  }
}

template <class Tiles>
void add_keys(const BackwardUnit& u, int64 row, int64 n, const flash::SeenTile& seen, int64 block,
              Range keys) {
  constexpr int64 kWidth = Tiles::kWidth;
  const auto& [op, unit, memory, dq, scores, D, Dv, E, Ev, rows] = u;
  // The last of an odd number of rows shares its elements with one that is not there, which must then be
  // masked.
  const bool odd = n % kWidth != 0,
             full = !odd && keys.begin >= seen.rows.all.begin && keys.end <= seen.rows.all.end;
  VisibleHalves halves = full ? VisibleHalves(n, keys) : VisibleHalves(seen, n, keys);
  if (odd) halves.of[halves.count - 1].all = {};
  score_tile<Tiles>(u, row, VisibleParts(halves), block, keys);
  const RowDepth row_depth =
      full ? RowDepth() : RowDepth({memory.first + row, memory.last + row}, seen, n, keys, kWidth);
  const KeyDepth key_depth = full ? KeyDepth() : KeyDepth(seen, n, keys, kWidth);
  // forward: O = P V, so dV += P^T dO
  multiply<Tiles, Lies::along_rows>({.M = keys.size(),
                                     .N = Dv,
                                     .K = ceil_div(n, kWidth),
                                     .a = memory.p,
                                     .a_stride = kQueries / kWidth,
                                     .b = memory.dout_rows,
                                     .b_stride = Dv,
                                     .c = memory.dv + (keys.begin - block) * Dv,
                                     .c_stride = Dv,
                                     .accumulate = true,
                                     .depth = full ? nullptr : row_depth.blocks});
  // forward: S^T = scale K Q^T, so dK += scale dS^T Q and dQ += scale dS K; the scale waits for the end
  multiply<Tiles, Lies::along_rows>({.M = keys.size(),
                                     .N = D,
                                     .K = ceil_div(n, kWidth),
                                     .a = memory.ds,
                                     .a_stride = kQueries / kWidth,
                                     .b = memory.q_rows,
                                     .b_stride = D,
                                     .c = memory.dk + (keys.begin - block) * D,
                                     .c_stride = D,
                                     .accumulate = true,
                                     .depth = full ? nullptr : row_depth.blocks});
  multiply<Tiles, Lies::along_columns>({.M = n,
                                        .N = D,
                                        .K = ceil_div(keys.size(), kWidth),
                                        .a = memory.ds_across,
                                        .a_stride = kQueries,
                                        .b = memory.k_across + (keys.begin - block) / kWidth * D,
                                        .b_stride = D,
                                        .c = dq + row * D,
                                        .c_stride = D,
                                        .accumulate = true,
                                        .depth = full ? nullptr : key_depth.blocks});
}

inline void write_gradient(const flash::GroupRows& to, Range rows, int64 columns, float* from, float factor,
                           bool accumulate) {
  const int64 D = flash::padded(columns);
  to.for_each(rows, [&](std::byte* row) HWY_ATTR {
    if (factor != 1.0f) scale_row(factor, from, D);
    accumulate ? add_row(to.dtype, from, columns, row) : pack_row(to.dtype, from, columns, row);
    from += D;
  });
}

inline void clear_keys(const BackwardUnit& u, int64 keys) {
  std::memset(u.memory.dk, 0, static_cast<size_t>(keys * u.D) * sizeof(float));
  std::memset(u.memory.dv, 0, static_cast<size_t>(keys * u.Dv) * sizeof(float));
}

/// dk and dv of a block of keys, and its part of dq.
template <class Tiles>
void backward_block(const BackwardUnit& u, Range block) {
  const auto& [op, unit, memory, dq, scores, D, Dv, E, Ev, rows] = u;
  const flash::GroupRows dk = flash::key_rows(unit, op.dk), dv = flash::key_rows(unit, op.dv);
  const flash::GroupRows q = flash::query_rows(op.problem, unit, op.q),
                         dout = flash::query_rows(op.problem, unit, op.dout);
  Tiles::pack_along(flash::key_rows(unit, op.k), block, op.problem.qk_dim, memory.k);
  std::fill_n(memory.k + block.size() * E, (round_up(block.size(), Tiles::kWidth) - block.size()) * E, 0.0f);
  Tiles::lay_across(memory.k, round_up(block.size(), Tiles::kWidth), op.problem.qk_dim, memory.k_across);
  Tiles::pack_along(flash::key_rows(unit, op.v), block, op.problem.v_dim, memory.v);
  clear_keys(u, block.size());
  for (int64 row = 0; row < rows; row += kQueries) {
    const flash::SeenTile& seen = memory.seen[row / kQueries];
    const int64 n = std::min(kQueries, rows - row);
    const Range keys = intersection(seen.rows.any, block);
    if (keys.size() == 0) continue;
    if (planted(Bug::group_not_summed) && row <= rows - unit.queries.size()) clear_keys(u, block.size());
    pack_queries<Tiles>(u, row, n);
    const Range next{std::min(rows, row + kQueries), std::min(rows, row + 2 * kQueries)};
    int64 i = 0;
    for (const Range tile : flash::Pieces(keys, kKeys)) {
      const Range ahead = share_of(next, i++, ceil_div(keys.size(), kKeys) + 1);
      prefetch_rows(q, ahead, op.problem.qk_dim);
      prefetch_rows(dout, ahead, op.problem.v_dim);
      add_keys<Tiles>(u, row, n, seen, block.begin, tile);
    }
  }
  write_gradient(dk, block, op.problem.qk_dim, memory.dk, op.problem.scale, op.accumulate);
  write_gradient(dv, block, op.problem.v_dim, memory.dv, 1, op.accumulate);
}

template <class Tiles>
void backward_unit(const AttentionBackward& op, const flash::Unit& unit, const flash::BackwardMemory& memory,
                   float* dq, float* dsink) {
  const BackwardUnit u{op,
                       unit,
                       memory,
                       dq,
                       Scores(op.problem),
                       flash::padded(op.problem.qk_dim),
                       flash::padded(op.problem.v_dim),
                       flash::elements(op.problem.qk_dim, Tiles::kWidth),
                       flash::elements(op.problem.v_dim, Tiles::kWidth),
                       unit.rows.size()};
  begin_backward(u);
  const int64 step = flash::key_block(op.problem);
  for (int64 block = unit.keys.begin; block < unit.keys.end; block += step)
    backward_block<Tiles>(u, {block, std::min(unit.keys.end, block + step)});
  for (int64 row = 0; row < u.rows; row += kQueries)
    if (!memory.met[row / kQueries])
      std::memset(dq + row * u.D, 0,
                  static_cast<size_t>(std::min(kQueries, u.rows - row) * u.D) * sizeof(float));
  if (dsink) find_dsink(u, dsink);
}

inline void write_dq_rows(const AttentionBackward& op, const flash::Unit& unit, Range queries,
                          std::span<const flash::DqPart> parts) {
  const F32 d;
  const int64 D = flash::padded(op.problem.qk_dim);
  flash::Unit whole = unit;
  whole.queries = {0, unit.sequence.q.size()};
  const flash::GroupRows dq = flash::query_rows(op.problem, whole, op.dq);
  for (int64 h = 0; h < op.problem.group(); ++h) {
    const auto rows_of = [&](const flash::DqPart& part, int64 query) {
      return part.sum + (h * part.queries.size() + query - part.queries.begin) * D;
    };
    for (int64 i = queries.begin, end; i < queries.end; i = end) {
      size_t first = 0;
      while (parts[first].queries.end <= i) ++first;
      // Few rows at a time, so that their sums stay in the first-level cache.
      end = std::min({queries.end, parts[first].queries.end, i + kQueries});
      for (size_t part = first + 1; part < parts.size(); ++part) {
        const Range both = intersection({i, end}, parts[part].queries);
        float *sum = rows_of(parts[first], both.begin), *more = rows_of(parts[part], both.begin);
        for (int64 c = 0; c < both.size() * D; c += hn::MaxLanes(d))
          hn::Store(hn::Add(hn::Load(d, sum + c), hn::Load(d, more + c)), d, sum + c);
      }
      write_gradient(dq, {h * whole.queries.size() + i, h * whole.queries.size() + end}, op.problem.qk_dim,
                     rows_of(parts[first], i), op.problem.scale, op.accumulate);
    }
  }
}

}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FOVEA_ATTENTION_BACKWARD_INL_H
