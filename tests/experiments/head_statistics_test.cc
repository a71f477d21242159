// What heads do, of hand-made queries and keys.
#include "experiments/head_statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "core/buffer.h"
#include "core/random.h"

namespace fovea {
namespace {

Buffer filled(std::initializer_list<int64> shape, const std::function<double(int64)>& value) {
  Buffer buffer(DType::f64, shape);
  const View flat = buffer.view().reshape({buffer.view().elements()});
  for (int64 i = 0; i < flat.size(0); ++i) store(flat, {i}, value(i));
  return buffer;
}

Buffer drawn(std::initializer_list<int64> shape, uint32 stream) {
  const RandomSequence random{17, RandomUse::synthetic, stream};
  return filled(shape, [&](int64 i) { return random.normal(static_cast<uint64>(i)); });
}

struct HeadCase {
  const char* name;
  int64 length, q_heads, kv_heads, dim, window, repeated;
  float scale, softcap;
};
void PrintTo(const HeadCase& c, std::ostream* out) { *out << c.name; }

AttentionProblem problem_of(const HeadCase& c) {
  AttentionProblem p;
  p.q_len = p.kv_len = c.length;
  p.q_heads = c.q_heads;
  p.kv_heads = c.kv_heads;
  p.qk_dim = p.v_dim = c.dim;
  p.mask = c.window > 0 ? sliding_window_mask(c.window) : causal_mask();
  p.scale = c.scale;
  p.softcap = c.softcap;
  return p;
}

std::vector<HeadSums> sums_of(const AttentionProblem& p, const View& q, const View& k, int64 repeated,
                              int threads = 1) {
  ThreadPool pool(threads);
  std::vector<HeadSums> sums(static_cast<size_t>(p.q_heads));
  add_head_sums(pool, p, q, k, repeated, sums.data());
  return sums;
}

class Heads : public testing::TestWithParam<HeadCase> {};

// The same quantities from the whole matrix of probabilities, written down a second time.
TEST_P(Heads, SumsAreThoseOfTheWholeMatrix) {
  const HeadCase& c = GetParam();
  const AttentionProblem p = problem_of(c);
  const Buffer q = drawn({1, c.length, c.q_heads, c.dim}, 1), k = drawn({1, c.length, c.kv_heads, c.dim}, 2);
  const std::vector<HeadSums> sums = sums_of(p, q, k, c.repeated);
  for (int64 h = 0; h < c.q_heads; ++h) {
    const HeadSums& s = sums[static_cast<size_t>(h)];
    double entropy = 0, relative = 0, previous = 0, first = 0, saturated = 0, slope = 0, induction = 0,
           largest = -INFINITY;
    std::vector<double> scores;
    int64 rows = 0;
    for (int64 i = 0; i < c.length; ++i) {
      std::vector<double> row(static_cast<size_t>(c.length), 0.0), seen;
      double total = 0;
      for (int64 j = 0; j <= i; ++j) {
        if (c.window > 0 && i - j >= c.window) continue;
        double x = 0;
        for (int64 d = 0; d < c.dim; ++d)
          x += load(q, {0, i, h, d}) * load(k, {0, j, h * c.kv_heads / c.q_heads, d});
        x *= double{c.scale};
        if (c.softcap > 0) x = c.softcap * std::tanh(x / c.softcap);
        seen.push_back(x);
        total += row[static_cast<size_t>(j)] = std::exp(x);
      }
      for (double& w : row) w /= total;
      if (c.repeated > 0 && i >= c.repeated) induction += row[static_cast<size_t>(i - c.repeated + 1)];
      if (seen.size() < 2) continue;
      ++rows;
      double bits = 0, squares = 0;
      for (const double w : row) {
        bits -= w > 0 ? w * std::log(w) : 0;
        squares += w * w;
      }
      entropy += bits;
      relative += bits / std::log(static_cast<double>(seen.size()));
      previous += row[static_cast<size_t>(i - 1)];
      first += row[0];
      saturated += *std::max_element(row.begin(), row.end()) > 0.99 ? 1 : 0;
      slope += 1 - squares;
      scores.insert(scores.end(), seen.begin(), seen.end());
    }
    double mean = 0, squares = 0;
    for (const double x : scores) mean += x / static_cast<double>(scores.size());
    for (const double x : scores) {
      squares += (x - mean) * (x - mean);
      largest = std::max(largest, x);
    }
    const double bound = 1e-10 * static_cast<double>(c.length);
    EXPECT_EQ(s.rows, rows);
    EXPECT_EQ(s.scores, static_cast<int64>(scores.size()));
    EXPECT_EQ(s.repeated_rows, c.repeated > 0 ? c.length - c.repeated : 0);
    EXPECT_NEAR(s.entropy, entropy, bound);
    EXPECT_NEAR(s.relative_entropy, relative, bound);
    EXPECT_NEAR(s.previous_token, previous, bound);
    EXPECT_NEAR(s.first_token, first, bound);
    EXPECT_EQ(s.saturated, saturated);
    EXPECT_NEAR(s.slope, slope, bound);
    EXPECT_NEAR(s.induction, induction, bound);
    if (!scores.empty()) {
      EXPECT_NEAR(s.score_mean, mean, bound);
      EXPECT_NEAR(s.score_squares, squares, bound * std::max(1.0, squares));
      EXPECT_NEAR(s.score_largest, largest, bound);
    }
  }
}

TEST_P(Heads, ThreadsMoveNoBit) {
  const HeadCase& c = GetParam();
  const Buffer q = drawn({1, c.length, c.q_heads, c.dim}, 1), k = drawn({1, c.length, c.kv_heads, c.dim}, 2);
  const auto one = sums_of(problem_of(c), q, k, c.repeated, 1),
             three = sums_of(problem_of(c), q, k, c.repeated, 3);
  for (size_t h = 0; h < one.size(); ++h)
    for (const auto member :
         {&HeadSums::entropy, &HeadSums::relative_entropy, &HeadSums::previous_token, &HeadSums::slope,
          &HeadSums::score_mean, &HeadSums::score_squares, &HeadSums::induction})
      EXPECT_EQ(one[h].*member, three[h].*member);
}

constexpr HeadCase kHeadCases[] = {
    {"plain", 13, 2, 2, 4, 0, 0, 0.5f, 0},          {"grouped", 9, 6, 2, 5, 0, 0, 0.7f, 0},
    {"single_kv_head", 12, 4, 1, 3, 0, 6, 1.5f, 0}, {"window", 17, 2, 1, 4, 5, 8, 1, 0},
    {"window_of_itself", 6, 1, 1, 2, 1, 3, 1, 0},   {"softcap", 11, 3, 3, 8, 0, 5, 2, 1.5f},
    {"saturated", 14, 2, 2, 8, 0, 7, 60, 0},        {"one_token", 1, 2, 1, 4, 0, 0, 1, 0}};
INSTANTIATE_TEST_SUITE_P(Cases, Heads, testing::ValuesIn(kHeadCases),
                         [](const auto& test) { return test.param.name; });

TEST(HeadSums, OfEqualScoresAreExact) {
  const HeadCase c{"", 10, 1, 1, 3, 4, 0, 1, 0};
  const Buffer q = drawn({1, 10, 1, 3}, 1), zero(DType::f64, {1, 10, 1, 3});
  const HeadSums s = sums_of(problem_of(c), q, zero, 0)[0];
  double entropy = 0;
  for (int64 i = 1; i < 10; ++i) entropy += std::log(static_cast<double>(std::min<int64>(i + 1, 4)));
  EXPECT_EQ(s.entropy, entropy);
  EXPECT_EQ(s.relative_entropy, 9);
  EXPECT_DOUBLE_EQ(s.previous_token, 1. / 2 + 1. / 3 + 7 * 0.25);
  EXPECT_DOUBLE_EQ(s.first_token, 1. / 2 + 1. / 3 + 1. / 4);  // row 4 sees tokens 1 to 4
  EXPECT_DOUBLE_EQ(s.slope, 1. / 2 + 2. / 3 + 7 * 0.75);
  EXPECT_EQ(s.saturated, 0);
  EXPECT_EQ(s.score_largest, 0);
}

TEST(HeadSums, AddUpOverCalls) {
  const HeadCase c{"", 8, 2, 1, 4, 0, 4, 1, 0};
  const AttentionProblem p = problem_of(c);
  AttentionProblem both = p;
  both.batch = 2;
  const Buffer q = drawn({2, 8, 2, 4}, 1), k = drawn({2, 8, 1, 4}, 2);
  const std::vector<HeadSums> at_once = sums_of(both, q, k, 4);
  ThreadPool pool(2);
  std::vector<HeadSums> one_by_one(2);
  for (int64 n = 0; n < 2; ++n)
    add_head_sums(pool, p, q.view().slice({n, n + 1}), k.view().slice({n, n + 1}), 4, one_by_one.data());
  for (size_t h = 0; h < 2; ++h) {
    EXPECT_EQ(one_by_one[h].rows, 14);
    EXPECT_EQ(one_by_one[h].entropy, at_once[h].entropy);
    EXPECT_EQ(one_by_one[h].score_squares, at_once[h].score_squares);
    EXPECT_EQ(one_by_one[h].induction, at_once[h].induction);
  }
}

}  // namespace
}  // namespace fovea
