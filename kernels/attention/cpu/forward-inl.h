// The forward pass of a unit. Included once per target.
#if defined(FOVEA_ATTENTION_FORWARD_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_ATTENTION_FORWARD_INL_H
#undef FOVEA_ATTENTION_FORWARD_INL_H
#else
#define FOVEA_ATTENTION_FORWARD_INL_H
#endif

#include <hwy/contrib/math/math-inl.h>

#include <numbers>
#include <optional>

#include "kernels/attention/cpu/exp-inl.h"
#include "kernels/attention/cpu/memory.h"
#include "kernels/attention/cpu/product-inl.h"
#include "kernels/attention/cpu/quads-inl.h"
#include "kernels/attention/cpu/scores-inl.h"
#include "kernels/attention/cpu/tiles-inl.h"
#include "kernels/attention/cpu/visible-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {

using flash::kKeys;
using flash::kQueries;

/// Of each row: the largest score to base 2, the sum of its terms, and the factor that what was summed under
/// the last maximum now needs.
struct SoftmaxRows {
  float *most, *sum, *rescale;
};

/// Online softmax (Milakov & Gimelshein 2018) of keys of a tile, queries in lanes: their scores s (keys,
/// kQueries) becomes p = exp2(late s - most) with the new running maximum, as elements (keys / kWidth,
/// kQueries), and the sum is carried over to it.
template <class Tiles, class D>
HWY_INLINE void soften_lanes(D d, float* column, Range keys, float late, const SoftmaxRows& softmax) {
  using V = hn::Vec<D>;
  const V none = hn::Set(d, -std::numeric_limits<float>::infinity()), factor = hn::Set(d, late);
  const auto score = [&](int64 key) HWY_ATTR { return hn::Load(d, column + key * kQueries); };
  const V old = hn::Load(d, softmax.most);
  V a = none, b = none;
  int64 j = keys.begin;
  for (; j + 2 <= keys.end; j += 2) {
    a = hn::Max(a, score(j));
    b = hn::Max(b, score(j + 1));
  }
  if (j < keys.end) a = hn::Max(a, score(j));
  const V now = hn::Max(old, hn::Mul(factor, hn::Max(a, b)));
  // A row that has seen nothing yet keeps -inf; measured from 0 its terms are exp2(-inf) = 0, not NaN.
  const V origin = hn::IfThenZeroElse(hn::Eq(now, none), now);
  const auto weight = [&](int64 key) HWY_ATTR { return exp2(d, hn::MulSub(factor, score(key), origin)); };
  const V fade = exp2(d, hn::Sub(old, origin));
  V even = hn::Mul(hn::Load(d, softmax.sum), fade), odd = hn::Zero(d);
  for (j = keys.begin; j + 2 <= keys.end; j += 2) {
    const V p0 = weight(j), p1 = weight(j + 1);
    Tiles::store_pair(d, p0, p1, column, j);
    even = hn::Add(even, p0);
    odd = hn::Add(odd, p1);
  }
  if (j < keys.end) {
    const V p0 = weight(j);
    Tiles::store_last(d, p0, column, j);
    even = hn::Add(even, p0);
  }
  hn::Store(now, d, softmax.most);
  hn::Store(hn::Add(even, odd), d, softmax.sum);
  hn::Store(fade, d, softmax.rescale);
}
template <class Tiles>
HWY_INLINE void soften(float* s, Range keys, Range lanes, float late, const SoftmaxRows& softmax) {
  for_each_vector_of(lanes.size(), [&](auto d, int64 i) HWY_ATTR {
    const int64 lane = lanes.begin + i;
    soften_lanes<Tiles>(d, s + lane, keys, late,
                        {softmax.most + lane, softmax.sum + lane, softmax.rescale + lane});
  });
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

/// What one forward unit works on.
struct ForwardUnit {
  const AttentionForward& op;
  const flash::Unit& unit;
  const flash::ForwardMemory& memory;
  Scores scores;
  flash::GroupRows k, v;
  int64 D;   // elements of a row of q or k
  int64 Dv;  // padded
  int64 rows;
  bool few;  // q lies in quads
};

/// Packs the queries and begins their sums.
template <class Tiles>
void begin_forward(const ForwardUnit& u) {
  const auto& [op, unit, memory, scores, k, v, D, Dv, rows, few] = u;
  const flash::GroupRows q = flash::query_rows(op.problem, unit, op.q);
  for (int64 r = 0; r < round_up(rows, kQueries); r += kQueries) {
    const int64 n = std::min(kQueries, rows - r);
    Tiles::pack_along(q, {unit.rows.begin + r, unit.rows.begin + r + n}, op.problem.qk_dim, memory.rows);
    if (few)
      lay_in_quads(memory.rows, n, product_columns(n), D, memory.q);
    else
      transpose_tile(memory.rows, n, D, memory.q + r * D);
  }
  std::fill_n(memory.most, round_up(rows, kQueries), -std::numeric_limits<float>::infinity());
  std::fill_n(memory.sum, round_up(rows, kQueries), 0.0f);
  if (op.sink && unit.key_part == 0) {
    float* most = memory.most;
    std::fill_n(memory.sum, rows, 1.0f);
    flash::for_each_head(unit.rows, unit.sequence.mask.q_len, [&](int64 h, Range queries) {
      const float sink = u.op.sink.data<float>()[flash::query_head(u.op.problem, u.unit.kv_head, h)];
      most = std::fill_n(most, queries.size(), sink * std::numbers::log2e_v<float>);
    });
  }
  flash::find_keys(unit, unit.rows, memory.first, memory.last);
  for (int64 r = 0; r < rows; r += kQueries)
    memory.seen[r / kQueries] = seen_by_tile({memory.first, memory.last}, {r, std::min(rows, r + kQueries)});
  std::memset(memory.out, 0, static_cast<size_t>(round_up(rows, kQueries) * Dv) * sizeof(float));
}

/// A tile of keys and values, packed or as it lies in memory.
struct KeyTile {
  Range keys;
  const float *k, *v;  // (keys, D), (keys / kWidth, Dv)
  int64 k_stride, v_stride;
  bool v_rows;  // v is rows of numbers, to be loaded across them
};

/// S^T = K Q^T of keys [keys) for so many columns of queries, what they see of it.
template <class Tiles>
void score_keys(const ForwardUnit& u, int64 row, int64 columns, const KeyTile& tile, Range keys,
                const VisibleHalves& halves, flash::Ahead& ahead) {
  const auto& [op, unit, memory, scores, k, v, D, Dv, rows, few] = u;
  const float* a = tile.k + (keys.begin - tile.keys.begin) * tile.k_stride;
  if (few) {
    const QuadProduct product{.keys = keys.size(),
                              .columns = columns,
                              .steps = ceil_div(op.problem.qk_dim, Tiles::kWidth * kQuad),
                              .k = a,
                              .k_stride = tile.k_stride,
                              .q = memory.q,
                              .q_stride = D,
                              .s = memory.scores};
    return score_quads<Tiles>(product, ahead);
  }
  const Product product{.M = keys.size(),
                        .N = columns,
                        .K = ceil_div(op.problem.qk_dim, Tiles::kWidth),
                        .a = a,
                        .a_stride = tile.k_stride,
                        .b = memory.q + row * D,
                        .b_stride = kQueries,
                        .c = memory.scores,
                        .c_stride = kQueries,
                        .accumulate = false};
  multiply_visible<Tiles>(VisibleParts(halves), product, ahead);
}

/// Adds keys [keys) of the tile to kQueries rows from `row` on.
template <class Tiles>
void add_keys(const ForwardUnit& u, int64 row, const flash::SeenTile& seen, const KeyTile& tile, Range keys,
              flash::Ahead& ahead) {
  constexpr int64 kWidth = Tiles::kWidth;
  const auto& [op, unit, memory, scores, k, v, D, Dv, rows, few] = u;
  const int64 n = std::min(kQueries, rows - row), lanes = product_columns(n);
  const RowKeys row_keys{memory.first + row, memory.last + row};
  float* s = memory.scores;
  const bool full = keys.begin >= seen.rows.all.begin && keys.end <= seen.rows.all.end;
  const VisibleHalves halves = full ? VisibleHalves(n, keys) : VisibleHalves(seen, n, keys);
  score_keys<Tiles>(u, row, lanes, tile, keys, halves, ahead);
  for (const auto& [half, any, all] : halves) {
    const Range present{half.begin, std::min(half.end, lanes)};
    if (scores.adjusted()) adjust_scores(scores, any, present, s, nullptr);
    hide(row_keys, keys.begin, any, all, present, s);
    soften<Tiles>(s, any, present, scores.late, {memory.most + row, memory.sum + row, memory.rescale});
  }
  if (!planted(Bug::missing_rescale)) rescale_rows(memory.rescale, n, Dv, memory.out + row * Dv);
  const KeyDepth depth = full ? KeyDepth() : KeyDepth(seen, n, keys, kWidth);
  // O += P V
  const Product product{.M = n,
                        .N = Dv,
                        .K = ceil_div(keys.size(), kWidth),
                        .a = s,
                        .a_stride = kQueries,
                        .b = tile.v + (keys.begin - tile.keys.begin) / kWidth * tile.v_stride,
                        .b_stride = tile.v_stride,
                        .c = memory.out + row * Dv,
                        .c_stride = Dv,
                        .accumulate = true,
                        .depth = full ? nullptr : depth.blocks};
  if constexpr (Tiles::kLoadsAcross)
    if (tile.v_rows) return multiply<Tiles, Lies::along_columns, Across::rows>(product, ahead);
  multiply<Tiles, Lies::along_columns, Across::packed>(product, ahead);
}

/// The tile of these keys. What one tile of rows alone reads is left where it lies, if it lies as it must.
template <class Tiles>
KeyTile key_tile(const ForwardUnit& u, Range keys) {
  constexpr int64 kElement = sizeof(float), kWidth = Tiles::kWidth;
  const auto& [op, unit, memory, scores, k, v, D, Dv, rows, few] = u;
  const int64 qk_dim = op.problem.qk_dim, v_dim = op.problem.v_dim;
  const bool once = rows <= kQueries;
  // Quads are read whole, and keys by the block.
  const bool whole = !few || (qk_dim % (kQuad * kWidth) == 0 && keys.size() % kQuadKeys == 0);
  KeyTile tile{keys, memory.k, memory.v, D, Dv, few && Tiles::kLoadsAcross};
  if (once && whole && Tiles::lie_along(k, qk_dim)) {
    tile.k = reinterpret_cast<const float*>(k.at(keys.begin));
    tile.k_stride = k.row / kElement;
  } else {
    Tiles::pack_along(k, keys, qk_dim, memory.k);
  }
  if (tile.v_rows) {
    // Pairs are read whole, and columns by the vector.
    if (keys.size() % kWidth == 0 && v_dim == Dv && Tiles::lie_along(v, v_dim)) {
      tile.v = reinterpret_cast<const float*>(v.at(keys.begin));
      tile.v_stride = kWidth * v.row / kElement;
    } else {
      const int64 E = flash::elements(v_dim, kWidth);
      Tiles::pack_along(v, keys, v_dim, memory.v);
      std::fill_n(memory.v + keys.size() * E, keys.size() % kWidth * E, 0.0f);
      tile.v_stride = kWidth * E;
    }
  } else if (once && Tiles::lie_across(v, v_dim)) {
    tile.v = reinterpret_cast<const float*>(v.at(keys.begin));
    tile.v_stride = v.row / kElement;
  } else {
    Tiles::pack_across(v, keys, v_dim, memory.v);
  }
  return tile;
}

/// out = O / sum, lse = most + ln(sum).
inline void finish_forward(const ForwardUnit& u) {
  const auto& [op, unit, memory, scores, k, v, D, Dv, rows, few] = u;
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
  flash::query_rows(op.problem, unit, op.out).for_each(unit.rows, [&](std::byte* to) HWY_ATTR {
    float* row = u.memory.out + r * u.Dv;
    if (u.memory.first[r] >= u.memory.last[r])
      std::memset(row, 0, static_cast<size_t>(u.Dv) * sizeof(float));
    else
      scale_row(u.memory.sum[r], row, u.Dv);
    pack_row(u.op.out.dtype(), row, u.op.problem.v_dim, to);
    ++r;
  });
  const float* lse = memory.most;
  flash::lse_rows(op.problem, unit, op.lse).for_each(unit.rows, [&](std::byte* to) {
    *reinterpret_cast<float*>(to) = *lse++;
  });
}

/// Where the keys are one part of several: what is to be merged.
inline void keep_part(const ForwardUnit& u, const flash::Partials& partials) {
  const int64 row = flash::first_row(u.op.problem, u.unit), part = u.unit.key_part;
  std::copy_n(u.memory.out, u.rows * u.Dv, partials.out(part, row));
  std::copy_n(u.memory.most, u.rows, partials.most(part, row));
  std::copy_n(u.memory.sum, u.rows, partials.sum(part, row));
}

template <class Tiles>
ForwardUnit forward_unit_of(const AttentionForward& op, const flash::Unit& unit,
                            const flash::ForwardMemory& memory) {
  return {op,
          unit,
          memory,
          Scores(op.problem),
          flash::key_rows(unit, op.k),
          flash::key_rows(unit, op.v),
          flash::elements(op.problem.qk_dim, Tiles::kWidth),
          flash::padded(op.problem.v_dim),
          unit.rows.size(),
          unit.few && few_rows(unit.rows.size())};
}

/// Keys and values of one head, or of so many heads that lie side by side; or the i-th of n shares of them.
inline flash::Ahead ahead_of(const ForwardUnit& u, Range keys, int64 heads, int64 i = 0, int64 n = 1) {
  flash::Ahead ahead;
  if (keys.size() == 0) return ahead;
  const int64 columns = std::max(u.op.problem.qk_dim, u.op.problem.v_dim);
  ahead.row_lines = ceil_div(heads * columns * size_of(u.op.problem.dtype), flash::kLine);
  const Range all{0, keys.size() * ahead.row_lines}, lines = n == 1 ? all : share_of(all, i, n);
  const int64 row = keys.begin + lines.begin / ahead.row_lines, line = lines.begin % ahead.row_lines;
  ahead.k = u.k.at(row) + line * flash::kLine;
  ahead.v = u.v.at(row) + line * flash::kLine;
  ahead.k_gap = u.k.row - ahead.row_lines * flash::kLine;
  ahead.v_gap = u.v.row - ahead.row_lines * flash::kLine;
  if (ahead.k_gap == 0 && ahead.v_gap == 0) ahead.row_lines = all.size();  // one long row
  ahead.left = lines.size();
  ahead.row_left = std::min(ahead.left, ahead.row_lines - line);
  return ahead;
}

/// All rows of one head against a tile of keys. Meanwhile the keys of the next tile are asked for: of this
/// head alone, unless that of all heads is given.
template <class Tiles>
void add_tile(const ForwardUnit& u, const KeyTile& tile, Range next, flash::Ahead* of_all) {
  const int64 row_tiles = ceil_div(u.rows, kQueries);
  for (int64 i = 0; i < row_tiles; ++i) {
    const flash::SeenTile& seen = u.memory.seen[i];
    const Range keys = intersection(seen.rows.any, tile.keys);
    if (keys.size() == 0) continue;
    flash::Ahead own;
    if (!of_all) own = ahead_of(u, next, 1, i, row_tiles);
    add_keys<Tiles>(u, i * kQueries, seen, tile, {keys.begin / 2 * 2, keys.end}, of_all ? *of_all : own);
  }
}

template <class Tiles>
void forward_unit(const AttentionForward& op, const flash::Unit& unit, const flash::ForwardMemories& memories,
                  const flash::Partials& partials) {
  flash::Unit units[flash::kMostHeads];  // of one head each
  std::optional<ForwardUnit> heads[flash::kMostHeads];
  for (int64 h = 0; h < unit.heads; ++h) {
    units[h] = unit;
    units[h].kv_head += h;
    heads[h].emplace(forward_unit_of<Tiles>(op, units[h], memories.heads[h]));
    begin_forward<Tiles>(*heads[h]);
  }
  const ForwardUnit& first = *heads[0];
  const RowKeys row_keys{first.memory.first, first.memory.last};
  const Range seen = seen_by(row_keys, {0, first.rows}).any;
  const int64 step = unit.heads > 1 ? flash::shared_keys(op.problem, unit.heads) : kKeys;
  const auto lie_close = [](const View& view) { return view.stride(2) == view.size(3); };
  const bool together = unit.heads > 1 && lie_close(op.k) && lie_close(op.v);
  // Tiles end at multiples of their size, so that a row's sums do not depend on the rows beside it.
  for (const Range keys : flash::Pieces(intersection(seen, unit.keys), step)) {
    const Range next{keys.end, std::min(seen.end, keys.end + step)};  // the next part's, too
    flash::Ahead ahead;
    if (together) ahead = ahead_of(first, next, unit.heads);
    for (int64 h = 0; h < unit.heads; ++h)
      add_tile<Tiles>(*heads[h], key_tile<Tiles>(*heads[h], keys), next, together ? &ahead : nullptr);
  }
  for (int64 h = 0; h < unit.heads; ++h) {
    const ForwardUnit& u = *heads[h];
    if constexpr (Tiles::kLoadsAcross)
      for (int64 r = 0; u.few && r < u.rows; ++r) Tiles::restore_columns(u.memory.out + r * u.Dv, u.Dv);
    unit.key_parts == 1 ? finish_forward(u) : keep_part(u, partials);
  }
}

/// The parts of a unit's rows in their order, and what they come to.
inline void merge_unit(const AttentionForward& op, const flash::Unit& unit,
                       const flash::ForwardMemory& memory, const flash::Partials& partials) {
  const ForwardUnit u = forward_unit_of<F32Tiles>(op, unit, memory);  // no tile is made
  const F32 d;
  const F32V none = hn::Set(d, -std::numeric_limits<float>::infinity());
  const int64 row = flash::first_row(op.problem, unit);
  flash::find_keys(unit, unit.rows, memory.first, memory.last);
  std::memset(memory.out, 0, static_cast<size_t>(u.rows * u.Dv) * sizeof(float));
  for (int64 r = 0; r < u.rows; ++r) {
    F32V now = none, total = hn::Zero(d);
    for (int64 part = 0; part < unit.key_parts; ++part)
      now = hn::Max(now, hn::Set(d, *partials.most(part, row + r)));
    const F32V origin = hn::IfThenZeroElse(hn::Eq(now, none), now);
    float* out = memory.out + r * u.Dv;
    for (int64 part = 0; part < unit.key_parts; ++part) {
      // As the online softmax carries its sums over to a new maximum.
      const F32V fade = exp2(hn::Sub(hn::Set(d, *partials.most(part, row + r)), origin));
      total = hn::MulAdd(fade, hn::Set(d, *partials.sum(part, row + r)), total);
      const float* from = partials.out(part, row + r);
      for (int64 c = 0; c < u.Dv; c += hn::MaxLanes(d))
        hn::Store(hn::MulAdd(fade, hn::LoadU(d, from + c), hn::Load(d, out + c)), d, out + c);
    }
    memory.most[r] = hn::GetLane(now);
    memory.sum[r] = hn::GetLane(total);
  }
  finish_forward(u);
}

}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FOVEA_ATTENTION_FORWARD_INL_H
