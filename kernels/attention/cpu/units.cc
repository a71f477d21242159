#include "kernels/attention/cpu/units.h"

#include <algorithm>

#include "kernels/attention/cpu/rows.h"

namespace fovea::flash {
namespace {

// Keys are cut where rows alone give fewer units than this: enough for the threads of a large machine. Each
// part more costs an f32 copy of dq backward, and forward of out.
constexpr int64 kForwardUnits = 64, kBackwardUnits = kMostKeyParts;
constexpr int64 kForwardKeys = 2048, kBackwardKeys = 256;  // of a part, at least; forward over all heads
constexpr int64 kSharingKeys = 512;  // fewer are no reason to do heads side by side, or rows otherwise
constexpr int64 kFewestRows = 64;    // of a forward unit

/// Rows of a forward unit: many, since each unit packs all keys anew; few enough that what it keeps of them
/// stays in the second-level cache, and that all threads have units to the end. No result depends on it.
int64 forward_rows(const AttentionProblem& problem, int64 all_rows, int threads) {
  constexpr int64 kCache = 384 * 1024, kMost = 1024, kUnitsPerThread = 6;
  const int64 width = tile_width(problem);
  const int64 row_bytes = (elements(problem.qk_dim, width) + padded(problem.v_dim)) * 4;
  const int64 fit = std::clamp(kCache / row_bytes / kQueries * kQueries, kFewestRows, kMost);
  if (threads == 1) return fit;
  const int64 share = round_up(ceil_div(all_rows, threads * kUnitsPerThread), kQueries);
  return std::clamp(share, kFewestRows, fit);
}

}  // namespace

Units::Units(const AttentionProblem& problem, Pass pass, int threads)
    : problem_(problem),
      pass_(pass),
      documents_(problem.mask.documents ? problem.mask.documents->count() : 0) {
  int64 most_q = problem.q_len;
  most_keys_ = problem.kv_len;
  if (documents_) {
    most_q = most_keys_ = 0;
    for (int64 n = 0; n < documents_; ++n) {
      const AttentionSequence s = sequence(n);
      most_q = std::max(most_q, s.q.size());
      most_keys_ = std::max(most_keys_, s.k.size());
    }
  }
  most_rows_ = most_q * problem.group();
  if (pass == Pass::forward)
    unit_rows_ = forward_rows(problem, problem.batch * problem.q_len * problem.q_heads, threads);
  least_keys_ = kBackwardKeys;
  int64 wanted = kBackwardUnits, rows = most_rows_;
  if (pass == Pass::forward) {
    if (!documents_ && most_rows_ <= kQueries && most_keys_ >= kSharingKeys && problem.kv_heads > 0)
      heads_ = ceil_div(problem.kv_heads, ceil_div(problem.kv_heads, kMostHeads));
    least_keys_ = round_up(kForwardKeys / heads_, kKeys);
    wanted = kForwardUnits;
    rows = kFewestRows;
  }
  const int64 units = sequences() * head_groups() * ceil_div(most_rows_, std::max<int64>(1, rows));
  if (units > 0 && units < wanted) {
    int64 most = 0;
    for (int64 n = 0; n < (documents_ ? documents_ : 1); ++n)
      most = std::max(most, keys_of(sequence(n)).size());
    key_parts_ = std::clamp<int64>(ceil_div(most, least_keys_), 1, ceil_div(wanted, units));
  }
  if (!documents_ && problem.batch > 0) uniform_units_ = units_of(sequence(0));
}

AttentionSequence Units::sequence(int64 n) const {
  AttentionSequence s;
  int64 q_start = problem_.first_position();
  if (documents_) {
    const auto at = static_cast<size_t>(n);
    s.q = {problem_.mask.documents->q[at], problem_.mask.documents->q[at + 1]};
    s.k = {problem_.mask.documents->k[at], problem_.mask.documents->k[at + 1]};
    q_start = s.k.size() - s.q.size();
  } else {
    s.batch = n;
    s.q = {0, problem_.q_len};
    s.k = {0, problem_.kv_len};
  }
  s.mask = sequence_mask(problem_.mask, s.q.size(), s.k.size(), q_start);
  return s;
}

int64 Units::row_parts_of(const AttentionSequence& s) const {
  return pass_ == Pass::forward ? ceil_div(s.q.size() * problem_.group(), unit_rows_) : 1;
}

// Those that are cut: forward what some query sees, backward all, since each wants its dk and dv.
Range Units::keys_of(const AttentionSequence& s) const {
  if (pass_ == Pass::backward) return {0, s.k.size()};
  const Range seen = s.mask.keys_of({0, s.q.size()});
  return {seen.begin / kKeys * kKeys, seen.end};
}

int64 Units::key_parts_of(const AttentionSequence& s) const {
  // One part at least: rows that see no key still want their out, or dq, of 0.
  return std::clamp<int64>(ceil_div(keys_of(s).size(), least_keys_), 1, key_parts_);
}

Range Units::keys_of(const AttentionSequence& s, int64 key_part) const {
  const Range keys = keys_of(s);
  const int64 step = round_up(ceil_div(keys.size(), key_parts_of(s)), kKeys);
  const auto bound = [&](int64 part) { return std::min(keys.end, keys.begin + part * step); };
  return {bound(key_part), bound(key_part + 1)};
}

Range Units::queries_of(const AttentionSequence& s, int64 key_part) const {
  const int64 q_len = s.q.size();
  const Range keys = keys_of(s, key_part);
  if (key_part > 0 && keys.size() == 0) return {q_len, q_len};
  const Range seeing = s.mask.queries_of(keys);
  // What sees no key stands before or behind all that see one, and wants its dq of 0 too.
  return {key_part == 0 ? 0 : seeing.begin / kQueries * kQueries,
          keys.end == s.k.size() ? q_len : std::min(q_len, round_up(seeing.end, kQueries))};
}

void Units::index(int64* starts) {
  if (!documents_) return;
  starts[0] = 0;
  for (int64 n = 0; n < documents_; ++n) starts[n + 1] = starts[n] + units_of(sequence(n)) * head_groups();
  starts_ = starts;
}

Unit Units::operator[](int64 i) const {
  Unit unit;
  int64 within;
  if (documents_) {
    unit.number = std::upper_bound(starts_, starts_ + documents_ + 1, i) - starts_ - 1;
    within = i - starts_[unit.number];
  } else {
    unit.number = i / (uniform_units_ * head_groups());
    within = i % (uniform_units_ * head_groups());
  }
  unit.sequence = sequence(unit.number);
  unit.key_parts = key_parts_of(unit.sequence);
  const int64 row_parts = row_parts_of(unit.sequence);
  unit.kv_head = within / (row_parts * unit.key_parts) * heads_;
  unit.heads = std::min(heads_, problem_.kv_heads - unit.kv_head);
  unit.key_part = within % unit.key_parts;

  unit.keys = keys_of(unit.sequence, unit.key_part);
  unit.queries =
      pass_ == Pass::forward ? Range{0, unit.sequence.q.size()} : queries_of(unit.sequence, unit.key_part);
  const int64 rows = unit.queries.size() * problem_.group();
  unit.few = pass_ == Pass::forward && rows <= kFewRows && unit.sequence.k.size() >= kSharingKeys;
  const int64 row_part = within / unit.key_parts % row_parts,
              row_step = pass_ == Pass::forward ? unit_rows_ : rows;
  unit.rows = {std::min(rows, row_part * row_step), std::min(rows, (row_part + 1) * row_step)};
  return unit;
}

int64 first_row(const AttentionProblem& problem, const Unit& unit) {
  const int64 before = unit.sequence.batch * problem.q_len + unit.sequence.q.begin;
  return before * problem.q_heads + unit.kv_head * problem.group() * unit.sequence.q.size() + unit.rows.begin;
}

void find_keys(const Unit& unit, Range rows, int32* first, int32* last) {
  const SequenceMask& mask = unit.sequence.mask;
  int64 r = 0;
  for_each_head(rows, unit.queries.size(), [&](int64, Range queries) {
    for (int64 i = queries.begin; i < queries.end; ++i, ++r) {
      Range keys = mask.keys_of(unit.queries.begin + i);
      if (planted(Bug::window_off_by_one) && mask.left >= 0) keys.begin = std::max<int64>(0, keys.begin - 1);
      const bool any = keys.begin < keys.end;
      first[r] = any ? static_cast<int32>(keys.begin) : 0;
      last[r] = any ? static_cast<int32>(keys.end) : 0;
    }
  });
  for (; r < round_up(rows.size(), kQueries); ++r) first[r] = last[r] = 0;
}

}  // namespace fovea::flash
