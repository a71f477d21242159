#include "kernels/attention/mask.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>

#include "attention_harness.h"

namespace fovea {
namespace {

SequenceMask any_mask() {
  const auto offset = [] { return *rc::gen::inRange<int64>(-1, 12); };
  return {*rc::gen::arbitrary<bool>(),
          offset(),
          offset(),
          *rc::gen::inRange<int64>(0, 20),
          *rc::gen::inRange<int64>(0, 20),
          *rc::gen::inRange<int64>(-10, 25)};
}
Range any_range(int64 size) {
  const int64 begin = *rc::gen::inRange<int64>(0, size);
  return {begin, *rc::gen::inRange<int64>(begin + 1, size + 1)};
}
/// By the definition.
bool sees(const SequenceMask& m, int64 i, int64 j) {
  const int64 p = i + m.q_start;
  return (!m.causal || j <= p) && (m.left < 0 || j >= p - m.left) && (m.right < 0 || j <= p + m.right);
}

RC_GTEST_PROP(SequenceMaskProperty, IntervalsAreTheDefinition, ()) {
  const SequenceMask m = any_mask();
  int64 pairs = 0;
  for (int64 i = 0; i < m.q_len; ++i) {
    const Range keys = m.keys_of(i);
    for (int64 j = 0; j < m.kv_len; ++j) {
      RC_ASSERT(sees(m, i, j) == (j >= keys.begin && j < keys.end));
      pairs += sees(m, i, j);
    }
  }
  RC_ASSERT(m.visible_pairs() == pairs);
}

RC_GTEST_PROP(SequenceMaskProperty, TilesAreCountedPairByPair, ()) {
  SequenceMask m = any_mask();
  ++m.q_len, ++m.kv_len;
  const Range queries = any_range(m.q_len), keys = any_range(m.kv_len);
  int64 seen = 0;
  for (int64 i = queries.begin; i < queries.end; ++i)
    for (int64 j = keys.begin; j < keys.end; ++j) seen += sees(m, i, j);
  const Coverage coverage = m.coverage(queries, keys);
  RC_ASSERT((coverage == Coverage::empty) == (seen == 0));
  RC_ASSERT((coverage == Coverage::full) == (seen == queries.size() * keys.size()));
  const Range some_keys = m.keys_of(queries), some_queries = m.queries_of(keys);
  for (int64 i = 0; i < m.q_len; ++i)
    for (int64 j = 0; j < m.kv_len; ++j) {
      if (!sees(m, i, j)) continue;
      if (i >= queries.begin && i < queries.end) RC_ASSERT(j >= some_keys.begin && j < some_keys.end);
      if (j >= keys.begin && j < keys.end) RC_ASSERT(i >= some_queries.begin && i < some_queries.end);
    }
}

TEST(Mask, AWindowOfWKeysCountsSelf) {
  const Mask mask = sliding_window_mask(4);
  EXPECT_TRUE(mask.causal);
  EXPECT_EQ(mask.left, 3);
}

TEST(Mask, TheWidestWindowDoesNotOverflow) {
  constexpr int64 kMost = std::numeric_limits<int64>::max();
  EXPECT_EQ(visible_pairs(attention_problem(5, 3, 1, 1, 1, {.left = kMost, .right = kMost})), 15);
}

TEST(Mask, DocumentsAreSequencesEmptyOnesIncluded) {
  const AttentionProblem p = attention_problem(5, 6, 1, 1, 1, document_mask({0, 2, 2, 5}, {0, 1, 4, 6}));
  const std::vector<AttentionSequence> sequences = sequences_of(p);
  ASSERT_EQ(sequences.size(), 3u);
  EXPECT_EQ(sequences[1].q.size(), 0);
  EXPECT_EQ(sequences[1].k.size(), 3);
  EXPECT_EQ(sequences[2].mask.q_start, -1);
  EXPECT_EQ(visible_pairs(p), (0 + 1) + (0 + 1 + 2));
}

// Any small length, or one at the edge of a tile, block or unit of work.
int64 any_length() {
  if (*rc::gen::inRange(0, 4) > 0) return *rc::gen::inRange<int64>(0, 80);
  return *rc::gen::element<int64>(31, 32, 33, 63, 64, 65, 127, 128, 129, 191, 255, 256, 257, 320);
}

// Random ragged problems, every backend. A window at least as long as the keys is no window.
AttentionCase any_case() {
  const int64 kv_heads = *rc::gen::inRange<int64>(1, 4), group = *rc::gen::inRange<int64>(1, 4);
  int64 q_len = any_length(), kv_len = any_length();
  if (*rc::gen::inRange(0, 5) == 0) {  // a few rows against many keys
    q_len = *rc::gen::inRange<int64>(1, 7);
    kv_len = *rc::gen::inRange<int64>(500, 600);
  }
  AttentionCase c{
      "", attention_problem(q_len, kv_len, kv_heads * group, kv_heads, *rc::gen::inRange<int64>(1, 40))};
  c.problem.v_dim = *rc::gen::inRange<int64>(1, 40);
  if (*rc::gen::arbitrary<bool>()) c.problem.qk_dim = c.problem.v_dim = 32;
  c.problem.mask = {.causal = *rc::gen::arbitrary<bool>(),
                    .left = *rc::gen::inRange<int64>(-1, 40),
                    .right = *rc::gen::inRange<int64>(-1, 40)};
  if (*rc::gen::arbitrary<bool>()) {
    const int64 q1 = *rc::gen::inRange<int64>(0, q_len + 1), k1 = *rc::gen::inRange<int64>(0, kv_len + 1);
    c.problem.mask = document_mask({0, q1, q1, q_len}, {0, k1, k1, kv_len}, c.problem.mask);
  } else {
    c.problem.batch = *rc::gen::inRange<int64>(0, 3);
    if (*rc::gen::arbitrary<bool>()) c.problem.q_start = *rc::gen::inRange<int64>(-20, 90);
  }
  if (*rc::gen::arbitrary<bool>()) c.problem.softcap = 3;
  c.sink = *rc::gen::arbitrary<bool>();
  c.gap = *rc::gen::inRange<int64>(0, 5);
  c.offset = *rc::gen::inRange<int64>(0, 5);
  c.accumulate = *rc::gen::arbitrary<bool>();
  return c;
}

RC_GTEST_PROP(AttentionProperty, EveryBackendKeepsTheErrorRule, ()) {
  const AttentionCase c = any_case();
  const DType dtype = *rc::gen::element(DType::f32, DType::bf16, DType::f16);
  const check::AttentionJudge judge(c, dtype, *rc::gen::arbitrary<uint32>());
  for (const Backend backend : harness::backends_under_test())
    RC_ASSERT(fmt::format("{} {}", name_of(backend), verdict(judge, backend)) ==
              fmt::format("{} ", name_of(backend)));
}

RC_GTEST_PROP(AttentionProperty, AWindowPastEveryKeyIsNone, ()) {
  AttentionCase c = any_case(), unbounded = c;
  c.problem.mask.left = c.problem.q_len + c.problem.kv_len + 100 + *rc::gen::inRange<int64>(0, 5);
  unbounded.problem.mask.left = -1;
  for (const Backend backend : harness::backends_under_test())
    RC_ASSERT(harness::run(attention_call(c, DType::f32), backend)[kOut].bits() ==
              harness::run(attention_call(unbounded, DType::f32), backend)[kOut].bits());
}

}  // namespace
}  // namespace fovea
