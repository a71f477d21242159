#include "kernels/reduce/case.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "harness.h"

namespace fovea {
namespace {

using harness::Case;
using harness::Tensor;

constexpr int64 kLong = 300'001;  // several blocks and a ragged end

double exact_sum(const Tensor& x, bool squares) {
  long double sum = 0;
  for (int64 i = 0; i < x.elements(); ++i) {
    const long double v = x.get(i);
    sum += squares ? v * v : v;
  }
  return static_cast<double>(sum);
}

/// Both sums over x (n), as the host reads them and where the operation leaves them.
struct Sums {
  Tensor x;
  double squares, plain, squares_left, plain_left;
};
using check::Value;

Sums sums_of(DType dtype, int64 n, Backend backend = harness::backend_under_test(), int threads = 1,
             const Value& value = nullptr, harness::Layout layout = {}) {
  const Readback<double> squares, plain;
  Case c = check::sums_case(dtype, n, value, layout);
  c.call = [&, leave = c.call](Stream& stream, const std::vector<View>& v) {
    sum_of_squares(stream, v[0], squares);
    sum(stream, v[0], plain);
    leave(stream, v);
  };
  std::vector<Tensor> tensors = harness::run(c, backend, threads);
  const double squares_left = tensors[1].get(0), plain_left = tensors[2].get(0);
  return {std::move(tensors[0]), squares.get(), plain.get(), squares_left, plain_left};
}

RC_GTEST_PROP(Reduce, SumsAreThoseOfTheirElements, ()) {
  const auto n = *rc::gen::inRange<int64>(0, 3000);
  const DType dtype = *rc::gen::element(DType::f32, DType::bf16, DType::f64);
  const Backend backend = *rc::gen::element(Backend::reference, harness::backend_under_test());
  const Sums sums = sums_of(dtype, n, backend, 1, nullptr, {0, *rc::gen::inRange<int64>(0, 5)});
  RC_ASSERT(std::abs(sums.squares - exact_sum(sums.x, true)) <= 1e-13 * static_cast<double>(n));
  RC_ASSERT(std::abs(sums.plain - exact_sum(sums.x, false)) <= 1e-13 * static_cast<double>(n));
  RC_ASSERT(sums.squares_left == sums.squares && sums.plain_left == sums.plain);
}

TEST(Reduce, LongSumsHaveTheSameBitsAtAnyThreads) {
  for (DType dtype : {DType::f32, DType::bf16, DType::f64}) {
    const Sums expected = sums_of(dtype, kLong);
    EXPECT_NEAR(expected.squares, exact_sum(expected.x, true), 1e-9);
    for (int threads : {2, 3}) {
      const Sums sums = sums_of(dtype, kLong, harness::backend_under_test(), threads);
      EXPECT_EQ(sums.squares, expected.squares) << name_of(dtype) << " at " << threads;
      EXPECT_EQ(sums.plain, expected.plain) << name_of(dtype) << " at " << threads;
    }
  }
}

TEST(Reduce, SumsOfIntegersAreExactHoweverLong) {
  constexpr int64 kVeryLong = 8'500'000;  // more blocks than threads that add their sums
  const Sums sums = sums_of(DType::bf16, kVeryLong, harness::backend_under_test(), 2,
                            [](int64 i) { return static_cast<double>(i % 2 + 1); });
  EXPECT_EQ(sums.plain, 1.5 * kVeryLong);
  EXPECT_EQ(sums.squares, 2.5 * kVeryLong);
}

TEST(Reduce, NothingIsReadBeforeTheStreamIsSynchronised) {
  const Readback<double> result;
  bool early = true;
  const Case c{.operands = {{"x", DType::f32, {100}}},
               .call = [&](Stream& stream, const std::vector<View>& v) {
                 sum(stream, v[0], result);
                 early = result.ready();
               }};
  const auto tensors = harness::run(c, harness::backend_under_test(), 1, Stream::Mode::deferred);
  EXPECT_FALSE(early);
  EXPECT_NEAR(result.get(), exact_sum(tensors[0], false), 1e-12);
}

TEST(Reduce, NonFiniteElementsShow) {
  for (DType dtype : {DType::f32, DType::bf16, DType::f64})
    for (int64 at : {int64{0}, int64{4097}, kLong - 1})
      for (double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
        const Sums sums = sums_of(dtype, kLong, harness::backend_under_test(), 2,
                                  [=](int64 i) { return i == at ? bad : static_cast<double>(i % 7); });
        EXPECT_FALSE(std::isfinite(sums.squares)) << name_of(dtype) << " at " << at;
        EXPECT_FALSE(std::isfinite(sums.plain)) << name_of(dtype) << " at " << at;
      }
}

TEST(Reduce, AddIntoAdds) {
  for (DType dtype : {DType::f32, DType::f64})
    for (int64 n : {int64{0}, int64{1}, int64{17}, int64{100'003}}) {
      const Case c = check::add_into_case(dtype, n);
      harness::expect_matches_reference(c, {.roundings = 1, .sums = 0}, 2);
      harness::expect_same_bits_at_any_threads(c);
    }
}

TEST(Reduce, ConvertRoundsToNearest) {
  for (DType from : {DType::f32, DType::bf16, DType::f16, DType::f64})
    for (DType to : {DType::f32, DType::bf16, DType::f16, DType::f64})
      for (int64 n : {int64{0}, int64{31}, int64{40'007}}) {
        const auto tensors = harness::run(check::convert_case(to, from, n), harness::backend_under_test(), 2);
        Tensor rounded(to, {1});
        for (int64 i = 0; i < n; ++i) {
          rounded.set(0, tensors[1].get(i));
          ASSERT_EQ(tensors[0].get(i), rounded.get(0)) << name_of(from) << " to " << name_of(to);
        }
      }
}

TEST(Reduce, FillZeroFillsAllAndNoMore) {
  for (DType dtype : {DType::f32, DType::bf16, DType::f64, DType::i32})
    for (int64 n : {int64{0}, int64{7}, kLong}) {
      const auto tensors = harness::run(check::fill_zero_case(dtype, n), harness::backend_under_test(), 2);
      const auto bits = tensors[0].bits();
      EXPECT_TRUE(std::all_of(bits.begin(), bits.end(), [](std::byte b) { return b == std::byte{0}; }));
    }
}

/// Ranges of all sizes, of more than one launch takes, in any order.
TEST(Reduce, FillZeroFillsRangesAndNoMore) {
  std::vector<Range> many;
  for (int64 begin = 1; begin < kLong - 40; begin += 97) many.push_back({begin, begin + begin % 37});
  for (DType dtype : {DType::f32, DType::bf16, DType::f64})
    for (const std::vector<Range>& ranges : {std::vector<Range>{}, std::vector<Range>{{2, 7}},
                                             std::vector<Range>{{kLong - 1, kLong}, {5, 5}, {0, 3}},
                                             std::vector<Range>{{3, 30'000}, {30'001, kLong}}, many}) {
      const Case c = check::fill_zero_case(dtype, kLong, std::make_shared<const std::vector<Range>>(ranges));
      const Tensor y = std::move(harness::run(c, harness::backend_under_test(), 2)[0]);
      std::vector<double> expected(static_cast<size_t>(kLong), 1.0);
      for (const Range& range : ranges)
        std::fill(expected.begin() + range.begin, expected.begin() + range.end, 0.0);
      for (int64 i = 0; i < kLong; ++i)
        ASSERT_EQ(y.get(i), expected[static_cast<size_t>(i)]) << name_of(dtype) << " at " << i;
    }
}

TEST(ReduceDeathTest, OperandsThatDoNotFitAbort) {
  const Tensor x(DType::f32, {4}), y(DType::f32, {5}), matrix(DType::f32, {2, 2});
  Stream stream(Backend::cpu);
  EXPECT_DEATH(add_into(stream, y, x), "add_into: x is f32 \\(4\\)");
  EXPECT_DEATH(sum(stream, matrix), "wanted \\(n\\)");
}

}  // namespace
}  // namespace fovea
