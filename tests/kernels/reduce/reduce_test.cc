#include "kernels/reduce/reduce.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "harness.h"

namespace fovea {
namespace {

using harness::Case;
using harness::Role;
using harness::Tensor;

constexpr int64 kLong = 300'001;  // several blocks and a ragged end

Tensor normal(DType dtype, int64 n, harness::Layout layout = {}) {
  Case c{.operands = {{"x", dtype, {n}, Role::in, nullptr, layout}}, .call = nullptr};
  return std::move(harness::make_operands(c, Backend::cpu)[0]);
}

double exact_sum(const Tensor& x, bool squares) {
  long double sum = 0;
  for (int64 i = 0; i < x.elements(); ++i) {
    const long double v = x.get(i);
    sum += squares ? v * v : v;
  }
  return static_cast<double>(sum);
}

RC_GTEST_PROP(Reduce, SumsAreThoseOfTheirElements, ()) {
  const auto n = *rc::gen::inRange<int64>(0, 3000);
  const DType dtype = *rc::gen::element(DType::f32, DType::bf16, DType::f64);
  const Backend backend = *rc::gen::element(Backend::reference, Backend::cpu);
  const Tensor x = normal(dtype, n, {0, *rc::gen::inRange<int64>(0, 5)});
  Stream stream(backend);
  stream.poison_scratch(true);
  const auto squares = sum_of_squares(stream, x), plain = sum(stream, x);
  RC_ASSERT(std::abs(squares.get() - exact_sum(x, true)) <= 1e-13 * static_cast<double>(n));
  RC_ASSERT(std::abs(plain.get() - exact_sum(x, false)) <= 1e-13 * static_cast<double>(n));
}

TEST(Reduce, LongSumsHaveTheSameBitsAtAnyThreads) {
  for (DType dtype : {DType::f32, DType::bf16, DType::f64}) {
    const Tensor x = normal(dtype, kLong);
    Stream one(Backend::cpu);
    const double expected = sum_of_squares(one, x).get();
    EXPECT_NEAR(expected, exact_sum(x, true), 1e-9);
    for (int threads : {2, 3}) {
      Stream stream(Backend::cpu, threads);
      EXPECT_EQ(sum_of_squares(stream, x).get(), expected) << name_of(dtype) << " at " << threads;
      EXPECT_EQ(sum(stream, x).get(), sum(one, x).get()) << name_of(dtype) << " at " << threads;
    }
  }
}

TEST(Reduce, NothingIsReadBeforeTheStreamIsSynchronised) {
  const Tensor x = normal(DType::f32, 100);
  Stream stream(Backend::cpu, 1, Stream::Mode::deferred);
  const auto result = sum(stream, x);
  EXPECT_FALSE(result.ready());
  stream.synchronize();
  EXPECT_NEAR(result.get(), exact_sum(x, false), 1e-12);
}

TEST(Reduce, NonFiniteElementsShow) {
  for (DType dtype : {DType::f32, DType::bf16, DType::f64})
    for (int64 at : {int64{0}, int64{4097}, kLong - 1})
      for (double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
        Tensor x = normal(dtype, kLong);
        x.set(at, bad);
        Stream stream(Backend::cpu, 2);
        EXPECT_FALSE(std::isfinite(sum_of_squares(stream, x).get())) << name_of(dtype) << " at " << at;
        EXPECT_FALSE(std::isfinite(sum(stream, x).get())) << name_of(dtype) << " at " << at;
      }
}

TEST(Reduce, AddIntoAdds) {
  for (DType dtype : {DType::f32, DType::f64})
    for (int64 n : {int64{0}, int64{1}, int64{17}, int64{100'003}}) {
      const Case c{.operands = {{"y", dtype, {n}, Role::inout, nullptr, {0, 1}}, {"x", dtype, {n}}},
                   .call = [](Stream& stream, const auto& v) { add_into(stream, v[0], v[1]); }};
      harness::expect_matches_reference(c, {.roundings = 1, .sums = 0}, 2);
      harness::expect_same_bits_at_any_threads(c);
    }
}

TEST(Reduce, ConvertRoundsToNearest) {
  for (DType from : {DType::f32, DType::bf16, DType::f16, DType::f64})
    for (DType to : {DType::f32, DType::bf16, DType::f16, DType::f64})
      for (int64 n : {int64{0}, int64{31}, int64{40'007}}) {
        const Case c{.operands = {{"y", to, {n}, Role::out, nullptr, {0, 1}}, {"x", from, {n}}},
                     .call = [](Stream& stream, const auto& v) { convert(stream, v[0], v[1]); }};
        const auto tensors = harness::run(c, Backend::cpu, 2);
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
      const Case c{.operands = {{"y", dtype, {n}, Role::out, nullptr, {0, 3}}},
                   .call = [](Stream& stream, const auto& v) { fill_zero(stream, v[0]); }};
      const auto tensors = harness::run(c, Backend::cpu, 2);
      const auto bits = tensors[0].bits();
      EXPECT_TRUE(std::all_of(bits.begin(), bits.end(), [](std::byte b) { return b == std::byte{0}; }));
    }
}

TEST(ReduceDeathTest, OperandsThatDoNotFitAbort) {
  const Tensor x = normal(DType::f32, 4), y = normal(DType::f32, 5), matrix(DType::f32, {2, 2});
  Stream stream(Backend::cpu);
  EXPECT_DEATH(add_into(stream, y, x), "add_into: x is f32 \\(4\\)");
  EXPECT_DEATH(sum(stream, matrix), "wanted \\(n\\)");
}

}  // namespace
}  // namespace fovea
