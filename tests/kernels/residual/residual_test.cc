#include "kernels/residual/case.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "harness.h"
#include "instruction_sets.h"
#include "kernels/residual/dropout.h"

namespace fovea {
namespace {

using harness::Case;
using harness::Tensor;

using check::residual_backward_case;
using check::residual_case;
using check::with_probability;
using Options = check::ResidualProblem;

// Which elements of (N, C) are kept, seen through backward on ones.
std::vector<bool> kept(Options o, Backend backend = harness::backend_under_test()) {
  Case c = residual_backward_case(o);
  c.operands[0].value = [](int64) { return 1.0; };
  const auto t = harness::run(c, backend);
  std::vector<bool> keep;
  for (int64 i = 0; i < t[1].elements(); ++i) keep.push_back(t[1].get(i) != 0);
  return keep;
}

RC_GTEST_PROP(Residual, MatchesTheReference, ()) {
  Options o;
  o.N = *rc::gen::inRange<int64>(0, 12);
  o.C = *rc::gen::element<int64>(1, 2, 3, 7, 64, 129, 1023, 1025, 2100);
  o.x = *rc::gen::element(DType::f32, DType::bf16);
  o.y = *rc::gen::element(DType::f32, DType::bf16);
  o.layout = {*rc::gen::inRange<int64>(0, 9), *rc::gen::inRange<int64>(0, 9)};
  const uint64 first_row = *rc::gen::element<uint64>(0, 1, 5, 0xffffffff, uint64{1} << 40);
  o.dropout = with_probability(*rc::gen::element(0.0f, 0.1f, 0.5f, 0.99f), first_row);
  o.dropout.random.seed = *rc::gen::arbitrary<uint64>();
  harness::expect_matches_reference(residual_case(o), {.roundings = 1, .sums = 1}, 2);
  harness::expect_matches_reference(residual_backward_case(o), {.roundings = 1, .sums = 1}, 2);
  RC_ASSERT(!testing::Test::HasFailure());
}

TEST(Residual, WithoutDropoutIsASum) {
  const auto t = harness::run(residual_case({.N = 3, .C = 50}));
  for (int64 i = 0; i < 150; ++i)
    EXPECT_EQ(t[2].get(i), static_cast<float>(t[0].get(i)) + static_cast<float>(t[1].get(i)));
}

TEST(Residual, KeepsAsManyAsItShouldAndScalesThem) {
  constexpr int64 kRows = 400, kColumns = 251;
  for (float probability : {0.1f, 0.5f, 0.9f}) {
    Case c = residual_case({.N = kRows, .C = kColumns, .dropout = with_probability(probability)});
    c.operands[0].value = [](int64) { return 0.0; };
    c.operands[1].value = [](int64) { return 1.0; };
    const auto t = harness::run(c);
    double keeps = 0;
    for (int64 i = 0; i < kRows * kColumns; ++i) {
      const double out = t[2].get(i);
      ASSERT_TRUE(out == 0 || std::abs(out - 1 / (1 - static_cast<double>(probability))) < 1e-6);
      keeps += out != 0;
    }
    const double n = kRows * kColumns, p = static_cast<double>(probability);
    EXPECT_NEAR(keeps / n, 1 - p, 4 * std::sqrt(p * (1 - p) / n));
  }
}

// The documented coordinates, drawn by core/random.h itself.
TEST(Residual, TheMaskIsAFunctionOfGlobalCoordinates) {
  const Options o{.N = 5, .C = 37, .dropout = with_probability(0.4f, 1000)};
  const std::vector<bool> keep = kept(o);
  for (int64 i = 0; i < 5 * 37; ++i) {
    const uint64 element = 1000 * 37 + static_cast<uint64>(i);
    const double uniform = (o.dropout.random.bits(element / 4)[element % 4] >> 8) * 0x1p-24;
    EXPECT_EQ(keep[static_cast<size_t>(i)], uniform >= static_cast<double>(0.4f)) << i;
  }
  EXPECT_EQ(keep, kept(o, Backend::reference));
}

TEST(Residual, ForwardAndBackwardDrawTheSameMask) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    const Options o{.N = 17, .C = 203, .x = dtype, .y = dtype, .dropout = with_probability(0.3f, 7)};
    Case c = residual_case(o);
    c.operands[0].value = [](int64) { return 0.0; };
    c.operands[1].value = [](int64) { return 2.0; };
    const auto t = harness::run(c);
    const std::vector<bool> keep = kept(o);
    for (int64 i = 0; i < t[2].elements(); ++i) ASSERT_EQ(t[2].get(i) != 0, keep[static_cast<size_t>(i)]);
  }
}

RC_GTEST_PROP(Residual, AnyPartitionOfTheRowsGivesTheSameBits, ()) {
  constexpr int64 kRows = 30;
  const int64 C = *rc::gen::inRange<int64>(1, 80);
  const int64 cut = *rc::gen::inRange<int64>(0, kRows + 1);
  const Options whole{.N = kRows, .C = C, .dropout = with_probability(0.5f, 3)};
  const Case at_once = residual_case(whole);
  Case in_two = at_once;
  in_two.call = [cut](Stream& stream, const std::vector<View>& v) {
    for (const Range rows : {Range{cut, kRows}, Range{0, cut}})
      residual_add(stream, {.x = v[0].slice(rows),
                            .y = v[1].slice(rows),
                            .out = v[2].slice(rows),
                            .dropout = with_probability(0.5f, 3 + static_cast<uint64>(rows.begin))});
  };
  RC_ASSERT(harness::run(in_two)[2].bits() == harness::run(at_once)[2].bits());
}

TEST(Residual, DrawsTheSameMaskOnEveryInstructionSet) {
  const Options o{.N = 3, .C = 77, .y = DType::bf16, .dropout = with_probability(0.4f, 0xffffffff)};
  const std::vector<bool> keep = kept(o, Backend::reference);
  harness::for_each_instruction_set([&] {
    EXPECT_EQ(kept(o), keep);
    harness::expect_matches_reference(residual_case(o), {.sums = 1});
  });
}

TEST(Residual, OtherSeedsAndStreamsDrawOtherMasks) {
  Options o{.N = 4, .C = 64, .dropout = with_probability(0.5f)};
  const std::vector<bool> keep = kept(o);
  o.dropout.random.stream += 1;
  EXPECT_NE(kept(o), keep);
  o.dropout.random.stream -= 1;
  o.dropout.random.seed += 1;
  EXPECT_NE(kept(o), keep);
}

TEST(Residual, HasTheSameBitsAtAnyThreads) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    const Options o{.N = 300, .C = 129, .x = dtype, .y = dtype, .dropout = with_probability(0.2f)};
    harness::expect_same_bits_at_any_threads(residual_case(o));
    harness::expect_same_bits_at_any_threads(residual_backward_case(o));
  }
}

TEST(Residual, GradientMatchesFiniteDifferences) {
  const Options o{.N = 4, .C = 13, .dropout = with_probability(0.3f, 2)};
  const Case f = residual_case(o), b = residual_backward_case(o);
  auto x = harness::make_operands(f, Backend::reference), g = harness::make_operands(b, Backend::reference);
  Stream stream(Backend::reference);
  const auto loss = [&] {
    f.call(stream, harness::views_of(x));
    return harness::project(x[2], 7);
  };
  for (int64 i = 0; i < g[0].elements(); ++i) g[0].set(i, harness::projection(7, i));
  b.call(stream, harness::views_of(g));
  harness::expect_gradient(x[1], g[1], loss, "dy");
}

TEST(Residual, MayOverwriteX) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    const Case c = residual_case({.N = 7, .C = 1100, .x = dtype, .dropout = with_probability(0.2f)});
    EXPECT_EQ(harness::run_in_place(c, {{2, 0}})[0].bits(), harness::run(c)[2].bits());
  }
}

TEST(Residual, ADroppedNaNIsDropped) {
  Options o{.N = 2, .C = 40, .dropout = with_probability(0.5f)};
  Case c = residual_case(o);
  c.operands[1].value = [](int64) { return std::nan(""); };
  const std::vector<bool> keep = kept(o);
  for (Backend backend : {harness::backend_under_test(), Backend::reference}) {
    const auto t = harness::run(c, backend);
    for (int64 i = 0; i < 80; ++i) EXPECT_EQ(std::isnan(t[2].get(i)), keep[static_cast<size_t>(i)]) << i;
  }
}

RC_GTEST_PROP(Dropout, FactorsAreThoseOfEachElement, ()) {
  const Dropout dropout = with_probability(*rc::gen::element(0.0f, 0.25f, 0.8f));
  const uint64 first =
      *rc::gen::element<uint64>(0, 0x3fffffff0, (uint64{1} << 34) - 9) + *rc::gen::inRange<uint64>(0, 40);
  const int64 n = *rc::gen::inRange<int64>(0, 150);
  std::vector<float> factors(static_cast<size_t>(n) + 1, -1.0f);
  dropout_factors(dropout, first, n, factors.data());
  for (int64 i = 0; i < n; ++i) {
    const bool keep = dropout_keeps(dropout, first + static_cast<uint64>(i));
    RC_ASSERT(factors[static_cast<size_t>(i)] == (keep ? static_cast<float>(dropout_scale(dropout)) : 0));
  }
  RC_ASSERT(factors.back() == -1);
}

TEST(ResidualDeathTest, AProbabilityOutOfRangeAborts) {
  const Tensor x(DType::f32, {2, 3});
  Stream stream(Backend::cpu);
  EXPECT_DEATH(residual_add(stream, {.x = x, .y = x, .out = x, .dropout = with_probability(1)}),
               "dropout probability 1");
}

}  // namespace
}  // namespace fovea
