#include "kernels/attention/cpu/units.h"
#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/cpu/forward.cc"
#include <hwy/foreach_target.h>  // NOLINT
#include <hwy/highway.h>

#include <numbers>

#include <hwy/contrib/math/math-inl.h>
#include "kernels/attention/cpu/exp-inl.h"
#include "kernels/attention/cpu/product-inl.h"
#include "kernels/attention/cpu/scores-inl.h"
#include "kernels/attention/cpu/tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {
namespace {

using flash::kKeys;
using flash::kQueries;

/// Online softmax (Milakov & Gimelshein 2018) of a tile of scores, queries in lanes: s (keys, kQueries)
/// becomes exp2(s - most) with the new running maximum, and `sum` is carried over to it. `rescale` is the
/// factor that what was summed under the old maximum now needs.
HWY_INLINE void soften(float* s, int64 keys, float* most, float* sum, float* rescale) {
  const F32 d;
  constexpr int64 L = hn::MaxLanes(d);
  const F32V none = hn::Set(d, -std::numeric_limits<float>::infinity());
  for (int64 lane = 0; lane < kQueries; lane += L) {
    float* column = s + lane;
    const F32V old = hn::Load(d, most + lane);
    F32V a = old, b = none;
    int64 j = 0;
    for (; j + 2 <= keys; j += 2) {
      a = hn::Max(a, hn::Load(d, column + j * kQueries));
      b = hn::Max(b, hn::Load(d, column + (j + 1) * kQueries));
    }
    if (j < keys) a = hn::Max(a, hn::Load(d, column + j * kQueries));
    const F32V now = hn::Max(a, b);
    // A row that has seen nothing yet keeps -inf; measured from 0 its terms are exp2(-inf) = 0, not NaN.
    const F32V origin = hn::IfThenZeroElse(hn::Eq(now, none), now);
    const F32V factor = exp2(hn::Sub(old, origin));
    F32V total = hn::Mul(hn::Load(d, sum + lane), factor);
    for (j = 0; j < keys; ++j) {
      const F32V e = exp2(hn::Sub(hn::Load(d, column + j * kQueries), origin));
      hn::Store(e, d, column + j * kQueries);
      total = hn::Add(total, e);
    }
    hn::Store(now, d, most + lane);
    hn::Store(total, d, sum + lane);
    hn::Store(factor, d, rescale + lane);
  }
}

HWY_INLINE void rescale_rows(const float* factors, int64 rows, int64 D, float* out) {
  const F32 d;
  for (int64 r = 0; r < rows; ++r, out += D) {
    if (factors[r] == 1.0f) continue;
    const F32V factor = hn::Set(d, factors[r]);
    for (int64 c = 0; c < D; c += hn::MaxLanes(d))
      hn::Store(hn::Mul(factor, hn::Load(d, out + c)), d, out + c);
  }
}

/// What one unit works on.
struct ForwardUnit {
  const AttentionForward& op;
  const flash::Unit& unit;
  const flash::ForwardMemory& memory;
  Scores scores;
  int64 D, Dv;  // padded
  int64 rows;
};

/// Packs the queries and begins their sums.
void begin_rows(const ForwardUnit& u) {
  const auto& [op, unit, memory, scores, D, Dv, rows] = u;
  const flash::GroupRows q = flash::query_rows(op.problem, unit, op.q);
  for (int64 r = 0; r < round_up(rows, kQueries); r += kQueries) {
    const int64 n = std::min(kQueries, rows - r);
    pack_rows(q, {unit.part.begin + r, unit.part.begin + r + n}, op.problem.qk_dim, memory.rows);
    transpose_tile(memory.rows, n, D, scores.query_factor, memory.q + r * D);
  }
  std::fill_n(memory.most, round_up(rows, kQueries), -std::numeric_limits<float>::infinity());
  std::fill_n(memory.sum, round_up(rows, kQueries), 0.0f);
  if (op.sink) {
    float* most = memory.most;
    std::fill_n(memory.sum, rows, 1.0f);
    flash::for_each_head(unit.part, unit.sequence.mask.q_len, [&](int64 h, Range queries) {
      const float sink = u.op.sink.data<float>()[flash::query_head(u.op.problem, u.unit.kv_head, h)];
      most = std::fill_n(most, queries.size(), sink * std::numbers::log2e_v<float>);
    });
  }
  flash::find_keys(unit, unit.part, memory.first, memory.last);
  std::memset(memory.out, 0, static_cast<size_t>(round_up(rows, kQueries) * Dv) * sizeof(float));
}

/// Adds keys [keys) of the packed block, which starts at key `block`, to kQueries rows from `row` on.
void add_keys(const ForwardUnit& u, int64 row, int64 n, const Seen& seen, int64 block, Range keys) {
  const auto& [op, unit, memory, scores, D, Dv, rows] = u;
  const RowKeys row_keys{memory.first + row, memory.last + row};
  float* s = memory.scores;
  // S^T = K Q^T
  multiply<Lies::along_rows>({.M = keys.size(),
                              .N = kQueries,
                              .K = op.problem.qk_dim,
                              .a = memory.k + (keys.begin - block) * D,
                              .a_stride = D,
                              .b = memory.q + row * D,
                              .b_stride = kQueries,
                              .c = s,
                              .c_stride = kQueries,
                              .accumulate = false});
  if (scores.capped()) cap_scores(scores, s, keys.size(), nullptr);
  hide(row_keys, seen.all, keys, s);
  soften(s, keys.size(), memory.most + row, memory.sum + row, memory.rescale);
  if (!planted(Bug::missing_rescale)) rescale_rows(memory.rescale, n, Dv, memory.out + row * Dv);
  const bool full = keys.begin >= seen.all.begin && keys.end <= seen.all.end;
  const KeyDepth depth = full ? KeyDepth() : KeyDepth(row_keys, n, keys);
  // O += P V
  multiply<Lies::along_columns>({.M = n,
                                 .N = Dv,
                                 .K = keys.size(),
                                 .a = s,
                                 .a_stride = kQueries,
                                 .b = memory.v + (keys.begin - block) * Dv,
                                 .b_stride = Dv,
                                 .c = memory.out + row * Dv,
                                 .c_stride = Dv,
                                 .accumulate = true,
                                 .depth = full ? nullptr : depth.blocks});
}

/// out = O / sum, lse = most + ln(sum).
void finish_rows(const ForwardUnit& u) {
  const auto& [op, unit, memory, scores, D, Dv, rows] = u;
  const F32 d;
  constexpr int64 L = hn::MaxLanes(d);
  const F32V ln2 = hn::Set(d, std::numbers::ln2_v<float>);
  for (int64 r = 0; r < rows; r += L) {
    const F32V sum = hn::Load(d, memory.sum + r), most = hn::Load(d, memory.most + r);
    // Of no key at all: ln 0 = -inf, and out is 0.
    const F32V lse = hn::IfThenElse(hn::Eq(sum, hn::Zero(d)), most, hn::MulAdd(most, ln2, hn::Log(d, sum)));
    hn::Store(hn::IfThenElse(hn::IsNaN(sum), sum, lse), d, memory.most + r);
    hn::Store(hn::Div(hn::Set(d, 1.0f), sum), d, memory.sum + r);
  }
  int64 r = 0;
  flash::query_rows(op.problem, unit, op.out).for_each(unit.part, [&](std::byte* to) HWY_ATTR {
    float* row = u.memory.out + r * u.Dv;
    if (u.memory.first[r] >= u.memory.last[r])
      std::memset(row, 0, static_cast<size_t>(u.Dv) * sizeof(float));
    else
      scale_row(u.memory.sum[r], row, u.Dv);
    pack_row(u.op.out.dtype(), row, u.op.problem.v_dim, to);
    ++r;
  });
  const float* lse = memory.most;
  flash::lse_rows(op.problem, unit, op.lse).for_each(unit.part, [&](std::byte* to) {
    *reinterpret_cast<float*>(to) = *lse++;
  });
}

const char* target_name() { return hwy::TargetName(HWY_TARGET); }

void forward_unit(const AttentionForward& op, const flash::Unit& unit, const flash::ForwardMemory& memory) {
  const ForwardUnit u{op,
                      unit,
                      memory,
                      Scores(op.problem),
                      flash::padded(op.problem.qk_dim),
                      flash::padded(op.problem.v_dim),
                      unit.part.size()};
  begin_rows(u);
  const RowKeys row_keys{memory.first, memory.last};
  const Range visible = seen_by(row_keys, {0, u.rows}).any;
  const flash::GroupRows k = flash::key_rows(unit, op.k), v = flash::key_rows(unit, op.v);
  for (int64 block = visible.begin; block < visible.end; block += flash::kKeyBlock) {
    const Range packed{block, std::min(visible.end, block + flash::kKeyBlock)};
    pack_rows(k, packed, op.problem.qk_dim, memory.k);
    pack_rows(v, packed, op.problem.v_dim, memory.v);
    for (int64 row = 0; row < u.rows; row += kQueries) {
      const int64 n = std::min(kQueries, u.rows - row);
      const Seen seen = seen_by(row_keys, {row, row + n});
      const Range keys = intersection(seen.any, packed);
      for (int64 key = keys.begin; key < keys.end; key += kKeys)
        add_keys(u, row, n, seen, block, {key, std::min(keys.end, key + kKeys)});
    }
  }
  finish_rows(u);
}

}  // namespace
}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::flash {
namespace {
HWY_EXPORT(forward_unit);
HWY_EXPORT(target_name);
}  // namespace

const char* instruction_set() { return HWY_DYNAMIC_DISPATCH(target_name)(); }
void run_unit(const AttentionForward& op, const Unit& unit, const ForwardMemory& memory) {
  HWY_DYNAMIC_DISPATCH(forward_unit)(op, unit, memory);
}
}  // namespace fovea::flash
#endif  // HWY_ONCE
