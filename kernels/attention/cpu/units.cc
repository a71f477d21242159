#include "kernels/attention/cpu/units.h"

#include "core/error.h"

namespace fovea::flash {
namespace {

// Enough units for the threads of a large machine where the batch alone gives too few; each more costs an f32
// copy of dq.
constexpr int64 kBackwardUnits = 16;

int64 whole_tiles(int64 rows) { return round_up(rows, kQueries); }

}  // namespace

Units::Units(const AttentionProblem& problem, Pass pass)
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
  const int64 heads = sequences() * problem.kv_heads;
  if (heads > 0 && heads < kBackwardUnits)
    key_parts_ = std::clamp<int64>(ceil_div(most_keys_, kKeyBlock), 1, ceil_div(kBackwardUnits, heads));
  if (!documents_ && problem.batch > 0) uniform_parts_ = parts_of(sequence(0));
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

int64 Units::parts_of(const AttentionSequence& s) const {
  if (pass_ == Pass::forward) return ceil_div(s.q.size() * problem_.group(), kForwardRows);
  // One part at least: rows that see no key still want their dq of 0.
  return std::clamp<int64>(ceil_div(s.k.size(), kKeyBlock), 1, key_parts_);
}

void Units::index(int64* starts) {
  if (!documents_) return;
  starts[0] = 0;
  for (int64 n = 0; n < documents_; ++n)
    starts[n + 1] = starts[n] + parts_of(sequence(n)) * problem_.kv_heads;
  starts_ = starts;
}

Unit Units::operator[](int64 i) const {
  Unit unit;
  int64 n, within;
  if (documents_) {
    n = std::upper_bound(starts_, starts_ + documents_ + 1, i) - starts_ - 1;
    within = i - starts_[n];
  } else {
    n = i / (uniform_parts_ * problem_.kv_heads);
    within = i % (uniform_parts_ * problem_.kv_heads);
  }
  unit.sequence = sequence(n);
  const int64 parts = documents_ ? parts_of(unit.sequence) : uniform_parts_;
  unit.number = n;
  unit.parts = parts;
  unit.kv_head = within / parts;
  unit.index = within % parts;
  const int64 size =
      pass_ == Pass::forward ? unit.sequence.q.size() * problem_.group() : unit.sequence.k.size();
  const int64 step =
      pass_ == Pass::forward ? kForwardRows : round_up(ceil_div(size, parts), std::min(kKeys, kKeyBlock));
  unit.part = {std::min(size, unit.index * step), std::min(size, (unit.index + 1) * step)};
  return unit;
}

void find_keys(const Unit& unit, Range rows, int32* first, int32* last) {
  const SequenceMask& mask = unit.sequence.mask;
  int64 r = 0;
  for_each_head(rows, mask.q_len, [&](int64, Range queries) {
    for (int64 i = queries.begin; i < queries.end; ++i, ++r) {
      Range keys = mask.keys_of(i);
      if (planted(Bug::window_off_by_one) && mask.left >= 0) keys.begin = std::max<int64>(0, keys.begin - 1);
      const bool any = keys.begin < keys.end;
      first[r] = any ? static_cast<int32>(keys.begin) : 0;
      last[r] = any ? static_cast<int32>(keys.end) : 0;
    }
  });
  for (; r < whole_tiles(rows.size()); ++r) first[r] = last[r] = 0;
}

ForwardMemory::ForwardMemory(Carver& carver, const AttentionProblem& problem) {
  const int64 D = padded(problem.qk_dim), Dv = padded(problem.v_dim);
  const int64 R = whole_tiles(std::min(kForwardRows, problem.q_len * problem.group()));
  const int64 keys = std::min(kKeyBlock, problem.kv_len);
  k = carver.floats(keys * D);
  v = carver.floats(keys * Dv);
  rows = carver.floats(kQueries * D);
  q = carver.floats(R * D);
  out = carver.floats(R * Dv);
  scores = carver.floats(kKeys * kQueries);
  most = carver.floats(R);
  sum = carver.floats(R);
  rescale = carver.floats(kQueries);
  first = carver.ints(R);
  last = carver.ints(R);
}

BackwardMemory::BackwardMemory(Carver& carver, const AttentionProblem& problem, const Units& units) {
  const int64 D = padded(problem.qk_dim), Dv = padded(problem.v_dim);
  const int64 R = whole_tiles(units.most_rows());
  const int64 keys = std::min(kKeyBlock, units.most_keys());
  k = carver.floats(keys * D);
  v = carver.floats(keys * Dv);
  dk = carver.floats(keys * D);
  dv = carver.floats(keys * Dv);
  q_rows = carver.floats(kQueries * D);
  dout_rows = carver.floats(kQueries * Dv);
  q = carver.floats(kQueries * D);
  dout = carver.floats(kQueries * Dv);
  out = carver.floats(kQueries * Dv);
  rows = carver.floats(kQueries * Dv);
  p = carver.floats(kKeys * kQueries);
  ds = carver.floats(kKeys * kQueries);
  slope = problem.softcap > 0 ? carver.floats(kKeys * kQueries) : nullptr;
  lse = carver.floats(R);
  delta = carver.floats(kQueries);
  first = carver.ints(R);
  last = carver.ints(R);
  dq = units.key_parts() == 1 ? carver.floats(R * D) : nullptr;
}

}  // namespace fovea::flash
