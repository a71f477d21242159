#include "kernels/attention/cpu/units.h"
#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/cpu/backward.cc"
#include <hwy/foreach_target.h>  // NOLINT
#include <hwy/highway.h>

#include <cmath>
#include <numbers>

#include "kernels/attention/cpu/exp-inl.h"
#include "kernels/attention/cpu/product-inl.h"
#include "kernels/attention/cpu/scores-inl.h"
#include "kernels/attention/cpu/tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {
namespace {

using flash::kKeys;
using flash::kQueries;

/// What one unit works on.
struct BackwardUnit {
  const AttentionBackward& op;
  const flash::Unit& unit;
  const flash::BackwardMemory& memory;
  float* dq;  // (R, D), unscaled
  Scores scores;
  int64 D, Dv;  // padded
  int64 rows;   // of the whole group
};

/// delta of kQueries rows whose dout is packed as (Dv, kQueries). The order of its sum is that of dp's, so
/// that a row which sees one key alone has dp - delta = 0 to the last bit.
void find_delta(const BackwardUnit& u, int64 row, int64 n) {
  const auto& [op, unit, memory, dq, scores, D, Dv, rows] = u;
  const F32 d;
  pack_rows(flash::query_rows(op.problem, unit, op.out), {row, row + n}, op.problem.v_dim, memory.rows);
  transpose_tile(memory.rows, n, Dv, 1, memory.out);
  const float* out = planted(Bug::wrong_delta) ? memory.dout : memory.out;
  for (int64 lane = 0; lane < kQueries; lane += hn::MaxLanes(d)) {
    // forward: out = sum_j p_j v_j, so the sum over j of p_j dp_j is out . dout
    F32V sum = hn::Zero(d);
    for (int64 c = 0; c < op.problem.v_dim; ++c) {
      const int64 at = c * kQueries + lane;
      sum = hn::MulAdd(hn::Load(d, out + at), hn::Load(d, memory.dout + at), sum);
    }
    hn::Store(sum, d, memory.delta + lane);
  }
}

/// Packs kQueries rows, both ways round.
void pack_queries(const BackwardUnit& u, int64 row, int64 n) {
  const auto& [op, unit, memory, dq, scores, D, Dv, rows] = u;
  pack_rows(flash::query_rows(op.problem, unit, op.q), {row, row + n}, op.problem.qk_dim, memory.q_rows);
  pack_rows(flash::query_rows(op.problem, unit, op.dout), {row, row + n}, op.problem.v_dim, memory.dout_rows);
  transpose_tile(memory.q_rows, n, D, scores.query_factor, memory.q);
  transpose_tile(memory.dout_rows, n, Dv, 1, memory.dout);
  find_delta(u, row, n);
}

/// Visible keys and lse of every row.
void begin_rows(const BackwardUnit& u) {
  const auto& [op, unit, memory, dq, scores, D, Dv, rows] = u;
  flash::find_keys(unit, {0, rows}, memory.first, memory.last);
  int64 r = 0;
  flash::lse_rows(op.problem, unit, op.lse).for_each({0, rows}, [&](const std::byte* lse) {
    // A row that sees nothing is masked throughout: any finite number serves.
    const bool any = u.memory.first[r] < u.memory.last[r];
    u.memory.lse[r++] = any ? *reinterpret_cast<const float*>(lse) * std::numbers::log2e_v<float> : 0;
  });
  for (; r < round_up(rows, kQueries); ++r) memory.lse[r] = 0;
}

/// dsink (group) of this sequence.
void find_dsink(const BackwardUnit& u, float* dsink) {
  const auto& [op, unit, memory, dq, scores, D, Dv, rows] = u;
  const int64 q_len = unit.sequence.mask.q_len;
  for (int64 row = 0; row < rows; row += kQueries) {
    const int64 n = std::min(kQueries, rows - row);
    pack_queries(u, row, n);
    for (int64 r = row; r < row + n; ++r) {
      if (memory.first[r] >= memory.last[r]) continue;
      // forward: the sink's share is exp(sink - lse), of a value 0
      const int64 h = flash::query_head(op.problem, unit.kv_head, r / q_len);
      const float share = std::exp2(op.sink.data<float>()[h] * std::numbers::log2e_v<float> - memory.lse[r]);
      dsink[r / q_len] -= share * memory.delta[r - row];
    }
  }
}

/// p = exp2(s - lse) and ds = p (dp - delta), in place of s and dp (keys, kQueries).
template <bool kMasked>
HWY_INLINE void soften_backward(const RowKeys& row_keys, const float* lse, const float* delta, Range keys,
                                float* s, float* dp) {
  const F32 d;
  for (int64 lane = 0; lane < kQueries; lane += hn::MaxLanes(d)) {
    const F32V l = hn::Load(d, lse + lane), minus = hn::Load(d, delta + lane);
    for (int64 j = 0; j < keys.size(); ++j) {
      float* at = s + j * kQueries + lane;
      float* dp_at = dp + j * kQueries + lane;
      // exp2 wants at most 128, the first infinite power; this order of operands keeps a NaN.
      F32V p = exp2(hn::Min(hn::Set(d, 128.0f), hn::Sub(hn::Load(d, at), l)));
      F32V ds = hn::Mul(p, hn::Sub(hn::Load(d, dp_at), minus));
      if (kMasked) {
        const auto seen = sees(row_keys, lane, keys.begin + j);
        p = hn::IfThenElseZero(seen, p);
        ds = hn::IfThenElseZero(seen, ds);
      }
      hn::Store(p, d, at);
      hn::Store(ds, d, dp_at);
    }
  }
}

/// ds of a tile of keys x kQueries rows, and p: what all gradients are products of.
void score_tile(const BackwardUnit& u, int64 row, const Seen& seen, int64 block, Range keys) {
  const auto& [op, unit, memory, dq, scores, D, Dv, rows] = u;
  // forward: S^T = K Q^T
  multiply<Lies::along_rows>({.M = keys.size(),
                              .N = kQueries,
                              .K = op.problem.qk_dim,
                              .a = memory.k + (keys.begin - block) * D,
                              .a_stride = D,
                              .b = memory.q,
                              .b_stride = kQueries,
                              .c = memory.p,
                              .c_stride = kQueries,
                              .accumulate = false});
  // forward: O = P V, so dP^T = V dO^T
  multiply<Lies::along_rows>({.M = keys.size(),
                              .N = kQueries,
                              .K = op.problem.v_dim,
                              .a = memory.v + (keys.begin - block) * Dv,
                              .a_stride = Dv,
                              .b = memory.dout,
                              .b_stride = kQueries,
                              .c = memory.ds,
                              .c_stride = kQueries,
                              .accumulate = false});
  if (scores.capped()) cap_scores(scores, memory.p, keys.size(), memory.slope);
  const RowKeys row_keys{memory.first + row, memory.last + row};
  if (keys.begin >= seen.all.begin && keys.end <= seen.all.end)
    soften_backward<false>(row_keys, memory.lse + row, memory.delta, keys, memory.p, memory.ds);
  else
    soften_backward<true>(row_keys, memory.lse + row, memory.delta, keys, memory.p, memory.ds);
  if (scores.capped()) {
    // forward: s = softcap tanh(x / softcap), so dx = ds (1 - tanh^2)
    const F32 d;
    for (int64 i = 0; i < keys.size() * kQueries; i += hn::MaxLanes(d))
      hn::Store(hn::Mul(hn::Load(d, memory.ds + i), hn::Load(d, memory.slope + i)), d, memory.ds + i);
  }
}

void add_keys(const BackwardUnit& u, int64 row, int64 n, const Seen& seen, int64 block, Range keys) {
  const auto& [op, unit, memory, dq, scores, D, Dv, rows] = u;
  score_tile(u, row, seen, block, keys);
  const RowKeys row_keys{memory.first + row, memory.last + row};
  const bool full = keys.begin >= seen.all.begin && keys.end <= seen.all.end;
  const RowDepth row_depth = full ? RowDepth() : RowDepth(row_keys, n, keys);
  const KeyDepth key_depth = full ? KeyDepth() : KeyDepth(row_keys, n, keys);
  // forward: O = P V, so dV += P^T dO
  multiply<Lies::along_rows>({.M = keys.size(),
                              .N = Dv,
                              .K = n,
                              .a = memory.p,
                              .a_stride = kQueries,
                              .b = memory.dout_rows,
                              .b_stride = Dv,
                              .c = memory.dv + (keys.begin - block) * Dv,
                              .c_stride = Dv,
                              .accumulate = true,
                              .depth = full ? nullptr : row_depth.blocks});
  // forward: S^T = scale K Q^T, so dK += scale dS^T Q and dQ += scale dS K; the scale waits for the end
  multiply<Lies::along_rows>({.M = keys.size(),
                              .N = D,
                              .K = n,
                              .a = memory.ds,
                              .a_stride = kQueries,
                              .b = memory.q_rows,
                              .b_stride = D,
                              .c = memory.dk + (keys.begin - block) * D,
                              .c_stride = D,
                              .accumulate = true,
                              .depth = full ? nullptr : row_depth.blocks});
  multiply<Lies::along_columns>({.M = n,
                                 .N = D,
                                 .K = keys.size(),
                                 .a = memory.ds,
                                 .a_stride = kQueries,
                                 .b = memory.k + (keys.begin - block) * D,
                                 .b_stride = D,
                                 .c = dq + row * D,
                                 .c_stride = D,
                                 .accumulate = true,
                                 .depth = full ? nullptr : key_depth.blocks});
}

void write_gradient(const flash::GroupRows& to, Range rows, int64 columns, float* from, float factor,
                    bool accumulate) {
  const int64 D = flash::padded(columns);
  to.for_each(rows, [&](std::byte* row) HWY_ATTR {
    if (factor != 1.0f) scale_row(factor, from, D);
    accumulate ? add_row(to.dtype, from, columns, row) : pack_row(to.dtype, from, columns, row);
    from += D;
  });
}

void clear_keys(const BackwardUnit& u, int64 keys) {
  std::memset(u.memory.dk, 0, static_cast<size_t>(keys * u.D) * sizeof(float));
  std::memset(u.memory.dv, 0, static_cast<size_t>(keys * u.Dv) * sizeof(float));
}

/// dk and dv of a block of keys, and its part of dq.
void backward_block(const BackwardUnit& u, Range block) {
  const auto& [op, unit, memory, dq, scores, D, Dv, rows] = u;
  const flash::GroupRows dk = flash::key_rows(unit, op.dk), dv = flash::key_rows(unit, op.dv);
  pack_rows(flash::key_rows(unit, op.k), block, op.problem.qk_dim, memory.k);
  pack_rows(flash::key_rows(unit, op.v), block, op.problem.v_dim, memory.v);
  clear_keys(u, block.size());
  const RowKeys row_keys{memory.first, memory.last};
  for (int64 row = 0; row < rows; row += kQueries) {
    const int64 n = std::min(kQueries, rows - row);
    const Seen seen = seen_by(row_keys, {row, row + n});
    const Range keys = intersection(seen.any, block);
    if (keys.size() == 0) continue;
    if (planted(Bug::group_not_summed) && row <= rows - unit.sequence.mask.q_len) clear_keys(u, block.size());
    pack_queries(u, row, n);
    for (int64 key = keys.begin; key < keys.end; key += kKeys)
      add_keys(u, row, n, seen, block.begin, {key, std::min(keys.end, key + kKeys)});
  }
  write_gradient(dk, block, op.problem.qk_dim, memory.dk, op.problem.scale, op.accumulate);
  write_gradient(dv, block, op.problem.v_dim, memory.dv, 1, op.accumulate);
}

void backward_unit(const AttentionBackward& op, const flash::Unit& unit, const flash::BackwardMemory& memory,
                   float* dq, float* dsink) {
  const int64 rows = unit.sequence.mask.q_len * op.problem.group();
  const BackwardUnit u{op,
                       unit,
                       memory,
                       dq,
                       Scores(op.problem),
                       flash::padded(op.problem.qk_dim),
                       flash::padded(op.problem.v_dim),
                       rows};
  begin_rows(u);
  if (dsink) find_dsink(u, dsink);
  std::memset(dq, 0, static_cast<size_t>(rows * u.D) * sizeof(float));
  for (int64 block = unit.part.begin; block < unit.part.end; block += flash::kKeyBlock)
    backward_block(u, {block, std::min(unit.part.end, block + flash::kKeyBlock)});
}

void write_dq_rows(const AttentionBackward& op, const flash::Unit& unit, Range rows, float* dq, int64 parts,
                   int64 part_stride) {
  const F32 d;
  const int64 D = flash::padded(op.problem.qk_dim);
  float* sum = dq + rows.begin * D;
  for (int64 part = 1; part < parts; ++part)
    for (int64 i = 0; i < rows.size() * D; i += hn::MaxLanes(d))
      hn::Store(hn::Add(hn::Load(d, sum + i), hn::Load(d, sum + part * part_stride + i)), d, sum + i);
  write_gradient(flash::query_rows(op.problem, unit, op.dq), rows, op.problem.qk_dim, sum, op.problem.scale,
                 op.accumulate);
}

}  // namespace
}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::flash {
namespace {
HWY_EXPORT(backward_unit);
HWY_EXPORT(write_dq_rows);
}  // namespace

void run_unit(const AttentionBackward& op, const Unit& unit, const BackwardMemory& memory, float* dq,
              float* dsink) {
  HWY_DYNAMIC_DISPATCH(backward_unit)(op, unit, memory, dq, dsink);
}
void write_dq(const AttentionBackward& op, const Unit& unit, Range rows, float* dq, int64 parts,
              int64 part_stride) {
  HWY_DYNAMIC_DISPATCH(write_dq_rows)(op, unit, rows, dq, parts, part_stride);
}
}  // namespace fovea::flash
#endif  // HWY_ONCE
