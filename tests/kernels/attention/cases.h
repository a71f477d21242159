#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/attention/case.h"

namespace fovea {

using check::attention_problem;
using check::AttentionCase;
using check::document_mask;

inline AttentionCase with(AttentionCase c, void (*change)(AttentionCase&)) {
  change(c);
  return c;
}

/// A few cases that between them meet every branch of a kernel: for planted bugs.
inline std::vector<AttentionCase> small_attention_cases() {
  std::vector<AttentionCase> cases;
  cases.push_back({.name = "gqa_causal", .problem = attention_problem(70, 70, 4, 2, 16, causal_mask())});
  cases.push_back({.name = "more_keys_than_tiles", .problem = attention_problem(5, 600, 2, 1, 8), .gain = 2});
  cases.push_back(
      {.name = "window_gqa", .problem = attention_problem(100, 100, 6, 2, 24, sliding_window_mask(17))});
  cases.push_back({.name = "window_both_sides",
                   .problem = attention_problem(90, 131, 2, 1, 20, {.left = 9, .right = 30})});
  cases.push_back({.name = "documents",
                   .problem = attention_problem(
                       96, 110, 4, 2, 16, document_mask({0, 0, 33, 33, 70, 96}, {0, 7, 40, 40, 77, 110}))});
  cases.push_back({.name = "sink_softcap",
                   .problem = attention_problem(40, 75, 4, 2, 12, causal_mask()),
                   .sink = true,
                   .gain = 2});
  cases.back().problem.softcap = 5;
  cases.push_back({.name = "softcap_as_large_as_the_scale",
                   .problem = attention_problem(40, 50, 2, 1, 8, causal_mask())});
  cases.back().problem.softcap = cases.back().problem.scale;
  cases.push_back(
      {.name = "few_rows", .problem = attention_problem(3, 530, 8, 2, 16, causal_mask()), .gain = 2});
  cases.push_back({.name = "blind_rows", .problem = attention_problem(80, 30, 2, 2, 8, causal_mask())});
  return cases;
}

namespace attention_case_parts {

inline void add_sizes(std::vector<AttentionCase>& cases) {
  // Around the edges of tiles of 16, 32, 64, 128 and 256.
  for (const auto& [q_len, kv_len] : std::vector<std::pair<int64, int64>>{
           {1, 1},   {1, 2},   {2, 1},   {1, 129},   {129, 1},   {15, 17},  {31, 33},   {63, 64},
           {64, 63}, {64, 64}, {65, 65}, {64, 128},  {128, 64},  {127, 65}, {129, 127}, {113, 203},
           {239, 1}, {1, 339}, {3, 799}, {108, 256}, {257, 255}, {260, 513}})
    for (const bool causal : {false, true})
      cases.push_back({fmt::format("{}_{}x{}", causal ? "causal" : "full", q_len, kv_len),
                       attention_problem(q_len, kv_len, 2, 1, 16, {.causal = causal})});
  // Work is cut by the rows of a group and by blocks of keys.
  for (const auto& [q_len, kv_len, group] : std::vector<std::tuple<int64, int64, int64>>{
           {85, 255, 3}, {86, 256, 3}, {64, 257, 4}, {256, 256, 1}, {257, 511, 1}, {33, 1025, 8}})
    cases.push_back({fmt::format("group_{}x{}x{}", group, q_len, kv_len),
                     attention_problem(q_len, kv_len, 2 * group, 2, 16, causal_mask())});
  // Few rows: the keys are cut too.
  for (const auto& [q_len, kv_len, group] :
       std::vector<std::tuple<int64, int64, int64>>{{1, 3000, 8}, {1, 1025, 1}, {5, 2500, 3}})
    cases.push_back({fmt::format("keys_cut_{}x{}x{}", group, q_len, kv_len),
                     attention_problem(q_len, kv_len, 2 * group, 2, 16, causal_mask())});
  cases.push_back({.name = "keys_cut_window_sink",
                   .problem = attention_problem(3, 3000, 4, 2, 8, sliding_window_mask(1100)),
                   .sink = true});
  cases.push_back(
      with({.name = "keys_cut_blind_parts", .problem = attention_problem(40, 2600, 2, 1, 8, causal_mask())},
           [](AttentionCase& c) { c.problem.q_start = 1000; }));
  // Each part of the keys is seen by some of the rows, and rows before or behind all keys by none.
  for (const int64 q_start : {-100, 80, 300}) {
    AttentionProblem p = attention_problem(600, 700, 4, 2, 8, sliding_window_mask(90));
    p.q_start = q_start;
    cases.push_back({.name = fmt::format("keys_and_rows_cut_{}", q_start + 100),
                     .problem = p,
                     .sink = true,
                     .accumulate = q_start == 80});
  }
  for (const auto& [q_len, kv_len] : std::vector<std::pair<int64, int64>>{{0, 5}, {5, 0}, {0, 0}})
    cases.push_back({fmt::format("nothing_{}x{}", q_len, kv_len), attention_problem(q_len, kv_len, 2, 1, 8)});
  cases.push_back({.name = "nothing_but_sinks", .problem = attention_problem(6, 0, 2, 1, 8), .sink = true});
  cases.push_back(with({.name = "no_batch", .problem = attention_problem(4, 4, 2, 1, 8)},
                       [](AttentionCase& c) { c.problem.batch = 0; }));
}

/// A few rows against hundreds of keys, which a kernel may read where they lie: rows of one vector or two,
/// odd numbers of keys, head sizes that are whole vectors or not, rows apart and misaligned, masks and
/// scores.
inline void add_few_rows(std::vector<AttentionCase>& cases) {
  for (const auto& [q_len, kv_len, group, qk_dim, v_dim] :
       std::vector<std::tuple<int64, int64, int64, int64, int64>>{{1, 512, 8, 32, 32},
                                                                  {1, 513, 8, 32, 32},
                                                                  {1, 777, 1, 64, 64},
                                                                  {2, 1031, 8, 64, 64},
                                                                  {3, 900, 5, 48, 48},
                                                                  {1, 600, 3, 59, 59},
                                                                  {1, 1000, 7, 80, 80},
                                                                  {1, 640, 8, 128, 96},
                                                                  {2, 801, 4, 16, 48},
                                                                  {17, 600, 1, 32, 32},
                                                                  {8, 700, 4, 64, 32}}) {
    AttentionProblem p = attention_problem(q_len, kv_len, 3 * group, 3, qk_dim, causal_mask());
    p.v_dim = v_dim;
    cases.push_back({fmt::format("few_{}x{}x{}_{}_{}", group, q_len, kv_len, qk_dim, v_dim), p});
  }
  const auto few = [](Mask mask = causal_mask()) { return attention_problem(2, 700, 8, 2, 32, mask); };
  cases.push_back({.name = "few_strided", .problem = few(), .gap = 8, .offset = 2});
  cases.push_back({.name = "few_misaligned", .problem = few(), .gap = 3, .offset = 1});
  cases.push_back({.name = "few_apart", .problem = few(), .gap = 8, .offset = 16});
  cases.push_back({.name = "few_window", .problem = few(sliding_window_mask(301)), .sink = true});
  cases.push_back(with({.name = "few_softcap", .problem = few(), .gain = 2},
                       [](AttentionCase& c) { c.problem.softcap = 4; }));
  cases.push_back(with({.name = "few_negative_scale", .problem = few({})},
                       [](AttentionCase& c) { c.problem.scale = -0.2f; }));
  cases.push_back(
      with({.name = "few_batches", .problem = few()}, [](AttentionCase& c) { c.problem.batch = 3; }));
  cases.push_back(
      with({.name = "few_early", .problem = few()}, [](AttentionCase& c) { c.problem.q_start = -1; }));
  cases.push_back({.name = "few_more_heads_than_a_unit", .problem = attention_problem(1, 520, 34, 17, 16)});
}

inline void add_heads(std::vector<AttentionCase>& cases) {
  for (const int64 head_dim :
       {1, 2, 3, 7, 8, 15, 17, 32, 40, 59, 64, 80, 96, 111, 128, 160, 192, 224, 255, 256})
    cases.push_back(
        {fmt::format("head_{}", head_dim), attention_problem(37, 45, 2, 1, head_dim, causal_mask())});
  for (const auto& [qk_dim, v_dim] :
       std::vector<std::pair<int64, int64>>{{24, 16}, {16, 40}, {1, 33}, {192, 128}}) {
    AttentionProblem p = attention_problem(50, 70, 4, 2, qk_dim, causal_mask());
    p.v_dim = v_dim;
    cases.push_back({fmt::format("value_dim_{}_{}", qk_dim, v_dim), p});
  }
  for (const auto& [q_heads, kv_heads] :
       std::vector<std::pair<int64, int64>>{{1, 1}, {6, 6}, {6, 3}, {6, 2}, {6, 1}, {12, 1}})
    cases.push_back(with({fmt::format("heads_{}_over_{}", q_heads, kv_heads),
                          attention_problem(35, 35, q_heads, kv_heads, 16, causal_mask())},
                         [](AttentionCase& c) { c.problem.batch = 2; }));
}

inline void add_masks(std::vector<AttentionCase>& cases) {
  for (const int64 window : {1, 2, 16, 64, 65, 1000})
    cases.push_back({fmt::format("window_{}", window),
                     attention_problem(100, 140, 4, 2, 16, sliding_window_mask(window))});
  cases.push_back(
      {.name = "window_right_only", .problem = attention_problem(60, 70, 2, 1, 16, {.right = 3})});
  cases.push_back({.name = "window_left_only", .problem = attention_problem(60, 70, 2, 1, 16, {.left = 3})});
  cases.push_back(
      {.name = "window_self", .problem = attention_problem(70, 70, 2, 1, 16, {.left = 0, .right = 0})});
  cases.push_back({.name = "window_past_the_keys",
                   .problem = attention_problem(90, 20, 2, 1, 16, {.left = 4, .right = 2})});
  constexpr int64 kMost = std::numeric_limits<int64>::max();
  cases.push_back({.name = "window_as_wide_as_numbers_go",
                   .problem = attention_problem(45, 40, 2, 1, 16, {.left = kMost, .right = kMost})});
  cases.push_back({.name = "causal_and_right",
                   .problem = attention_problem(70, 70, 2, 1, 16, {.causal = true, .right = 5})});
  cases.push_back({.name = "documents_uneven",
                   .problem = attention_problem(
                       130, 150, 2, 1, 16, document_mask({0, 1, 1, 66, 66, 130}, {0, 9, 30, 30, 31, 150}))});
  cases.push_back(
      {.name = "documents_keys_cut",
       .problem = attention_problem(9, 2350, 2, 1, 8, document_mask({0, 4, 7, 9}, {0, 2200, 2230, 2350}))});
  cases.push_back(
      {.name = "documents_window",
       .problem = attention_problem(
           130, 130, 2, 2, 16, document_mask({0, 64, 129, 130}, {0, 64, 129, 130}, sliding_window_mask(9)))});
  cases.push_back(
      {.name = "documents_full",
       .problem = attention_problem(70, 40, 2, 1, 16, document_mask({0, 30, 70}, {0, 39, 40}, {}))});
  cases.push_back(
      {.name = "documents_all_empty_but_one",
       .problem = attention_problem(20, 20, 2, 1, 8, document_mask({0, 0, 0, 20, 20}, {0, 0, 0, 20, 20}))});
  for (const int64 q_start : {0, 7, 60, -5, 1000})
    cases.push_back({fmt::format("q_start_{}", q_start < 0 ? "before" : std::to_string(q_start)),
                     attention_problem(33, 77, 2, 1, 16, causal_mask())});
  const int64 starts[] = {0, 7, 60, -5, 1000};
  for (size_t n = 0; n < 5; ++n) cases[cases.size() - 5 + n].problem.q_start = starts[n];
  cases.push_back(with(
      {.name = "q_start_window", .problem = attention_problem(33, 77, 2, 1, 16, sliding_window_mask(10))},
      [](AttentionCase& c) { c.problem.q_start = 20; }));
}

inline void add_scores(std::vector<AttentionCase>& cases) {
  cases.push_back(
      {.name = "large_scores", .problem = attention_problem(70, 90, 2, 1, 32, causal_mask()), .gain = 5});
  cases.push_back(
      with({.name = "softcap", .problem = attention_problem(70, 90, 2, 1, 32, causal_mask()), .gain = 2.5},
           [](AttentionCase& c) { c.problem.softcap = 10; }));
  cases.push_back(with(
      {.name = "softcap_reached", .problem = attention_problem(70, 90, 2, 1, 32, causal_mask()), .gain = 30},
      [](AttentionCase& c) { c.problem.softcap = 1; }));
  cases.push_back(with({.name = "negative_scale", .problem = attention_problem(40, 90, 2, 1, 32)},
                       [](AttentionCase& c) { c.problem.scale = -0.3f; }));
  cases.push_back(with({.name = "scale_0", .problem = attention_problem(40, 90, 2, 1, 32, causal_mask())},
                       [](AttentionCase& c) { c.problem.scale = 0; }));
  cases.push_back(
      {.name = "sink", .problem = attention_problem(70, 90, 4, 2, 32, causal_mask()), .sink = true});
  cases.push_back({.name = "sink_and_blind_rows",
                   .problem = attention_problem(90, 40, 4, 2, 16, causal_mask()),
                   .sink = true});
  cases.push_back(
      {.name = "sink_documents",
       .problem = attention_problem(60, 60, 4, 2, 16, document_mask({0, 10, 10, 60}, {0, 10, 10, 60})),
       .sink = true});
  cases.push_back({.name = "strided",
                   .problem = attention_problem(66, 67, 4, 2, 20, causal_mask()),
                   .gap = 7,
                   .offset = 3});
  cases.push_back({.name = "apart",
                   .problem = attention_problem(90, 110, 4, 2, 64, {.left = 20, .right = 9}),
                   .sink = true,
                   .gap = 8,
                   .offset = 16});
  cases.push_back({.name = "misaligned", .problem = attention_problem(66, 67, 4, 2, 64), .offset = 1});
  cases.push_back({.name = "accumulate",
                   .problem = attention_problem(66, 67, 4, 2, 16, causal_mask()),
                   .sink = true,
                   .gap = 1,
                   .accumulate = true});
}

/// Several tiles of every size that kernels of wide heads cut.
inline void add_wide_heads(std::vector<AttentionCase>& cases) {
  cases.push_back({.name = "tiles_32", .problem = attention_problem(200, 300, 4, 1, 32), .gain = 2});
  cases.push_back({.name = "tiles_64", .problem = attention_problem(300, 290, 2, 1, 64, causal_mask())});
  cases.push_back(with({.name = "tiles_96",
                        .problem = attention_problem(130, 200, 2, 2, 96, {.left = 70, .right = 40}),
                        .sink = true,
                        .accumulate = true},
                       [](AttentionCase& c) { c.problem.softcap = 3; }));
  cases.push_back(
      {.name = "tiles_128",
       .problem = attention_problem(260, 270, 2, 1, 128,
                                    document_mask({0, 1, 1, 140, 150, 260}, {0, 9, 30, 130, 131, 270})),
       .sink = true});
  cases.push_back(with({.name = "tiles_192_128",
                        .problem = attention_problem(140, 150, 4, 2, 192, causal_mask()),
                        .accumulate = true},
                       [](AttentionCase& c) { c.problem.v_dim = 128; }));
  cases.push_back({.name = "tiles_192", .problem = attention_problem(70, 140, 2, 1, 192, causal_mask())});
  cases.push_back({.name = "tiles_256", .problem = attention_problem(130, 140, 2, 1, 256), .sink = true});
}

}  // namespace attention_case_parts

/// The whole table, in f32; the error rule makes every case one of bf16 and f16 too.
inline std::vector<AttentionCase> attention_cases() {
  std::vector<AttentionCase> cases;
  attention_case_parts::add_sizes(cases);
  attention_case_parts::add_few_rows(cases);
  attention_case_parts::add_heads(cases);
  attention_case_parts::add_masks(cases);
  attention_case_parts::add_scores(cases);
  attention_case_parts::add_wide_heads(cases);
  return cases;
}

}  // namespace fovea
