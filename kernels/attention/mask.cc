#include "kernels/attention/mask.h"

#include <algorithm>

#include "core/error.h"
#include "kernels/attention/attention.h"

namespace fovea {

namespace {
// Wider than any sequence, so that sums with positions stay far from overflow.
constexpr int64 kWidest = int64{1} << 48;
}  // namespace

SequenceMask sequence_mask(const Mask& mask, int64 q_len, int64 kv_len, int64 q_start) {
  return {mask.causal, std::min(mask.left, kWidest), std::min(mask.right, kWidest), q_len, kv_len, q_start};
}

Mask causal_mask() { return {.causal = true}; }

Mask sliding_window_mask(int64 window) {
  FOVEA_CHECK(window > 0, "a window of {} keys", window);
  return {.causal = true, .left = window - 1};
}

Range SequenceMask::keys_of(int64 i) const {
  const int64 p = i + q_start;
  int64 begin = 0, end = kv_len;
  if (causal) end = std::min(end, p + 1);
  if (right >= 0) end = std::min(end, p + right + 1);
  if (left >= 0) begin = std::max(begin, p - left);
  begin = std::clamp<int64>(begin, 0, kv_len);
  return {begin, std::max(begin, end)};
}

Range SequenceMask::keys_of(Range queries) const {
  if (queries.size() <= 0) return {0, 0};
  // Both ends climb with the query, so that the first query has the first key and the last the last.
  const Range first = keys_of(queries.begin), last = keys_of(queries.end - 1);
  return {first.begin, std::max(first.begin, last.end)};
}

Range SequenceMask::queries_of(Range keys) const {
  if (keys.size() <= 0 || q_len <= 0) return {0, 0};
  // Query i sees some of the keys iff its first one is below keys.end and its end above keys.begin: two
  // bounds on p.
  int64 begin = 0, end = q_len;
  const int64 reach = causal ? 0 : right;
  if (causal || right >= 0) begin = std::max(begin, keys.begin - reach - q_start);
  if (left >= 0) end = std::min(end, keys.end + left - q_start);
  begin = std::clamp<int64>(begin, 0, q_len);
  return {begin, std::clamp<int64>(end, begin, q_len)};
}

Coverage SequenceMask::coverage(Range queries, Range keys) const {
  const auto sees_all = [&](Range seen) { return seen.begin <= keys.begin && seen.end >= keys.end; };
  const Range any = keys_of(queries);
  if (std::max(any.begin, keys.begin) >= std::min(any.end, keys.end)) return Coverage::empty;
  const bool full = sees_all(keys_of(queries.begin)) && sees_all(keys_of(queries.end - 1));
  return full ? Coverage::full : Coverage::partial;
}

int64 SequenceMask::visible_pairs() const {
  int64 pairs = 0;
  for (int64 i = 0; i < q_len; ++i) pairs += keys_of(i).size();
  return pairs;
}

std::vector<AttentionSequence> sequences_of(const AttentionProblem& problem) {
  std::vector<AttentionSequence> sequences;
  const auto add = [&](int64 batch, Range q, Range k, int64 q_start) {
    sequences.push_back({batch, q, k, sequence_mask(problem.mask, q.size(), k.size(), q_start)});
  };
  if (const DocumentBounds* documents = problem.mask.documents.get()) {
    for (size_t n = 0; n + 1 < documents->q.size(); ++n) {
      const Range q{documents->q[n], documents->q[n + 1]}, k{documents->k[n], documents->k[n + 1]};
      add(0, q, k, k.size() - q.size());
    }
  } else {
    for (int64 batch = 0; batch < problem.batch; ++batch)
      add(batch, {0, problem.q_len}, {0, problem.kv_len}, problem.first_position());
  }
  return sequences;
}

int64 visible_pairs(const AttentionProblem& problem) {
  if (!problem.mask.documents) {
    if (problem.batch == 0) return 0;
    return problem.batch *
           sequence_mask(problem.mask, problem.q_len, problem.kv_len, problem.first_position())
               .visible_pairs();
  }
  int64 pairs = 0;
  for (const AttentionSequence& sequence : sequences_of(problem)) pairs += sequence.mask.visible_pairs();
  return pairs;
}

}  // namespace fovea
