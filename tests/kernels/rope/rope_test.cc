#include "kernels/rope/case.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <complex>

#include "harness.h"
#include "instruction_sets.h"

namespace fovea {
namespace {

using harness::Case;
using harness::Tensor;

using check::rope_case;
using Options = check::RopeProblem;

rc::Gen<Options> any_options() {
  return rc::gen::exec([] {
    Options o;
    o.N = *rc::gen::inRange<int64>(0, 40);
    o.H = *rc::gen::inRange<int64>(1, 5);
    o.planes = *rc::gen::inRange<int64>(0, 40);
    o.rest = *rc::gen::inRange<int64>(o.planes == 0, 20);
    o.dtype = *rc::gen::element(DType::f32, DType::bf16);
    o.layout = {*rc::gen::inRange<int64>(0, 9), *rc::gen::inRange<int64>(0, 9)};
    o.interleaved = *rc::gen::arbitrary<bool>();
    o.inverse = *rc::gen::arbitrary<bool>();
    return o;
  });
}

RC_GTEST_PROP(Rope, MatchesTheReference, ()) {
  harness::expect_matches_reference(rope_case(*any_options()), {.sums = 2}, 2);
  RC_ASSERT(!testing::Test::HasFailure());
}

TEST(Rope, MatchesTheReferenceOnEveryInstructionSet) {
  harness::for_each_instruction_set([] {
    for (DType dtype : {DType::f32, DType::bf16})
      for (bool interleaved : {false, true})
        for (int64 planes : {1, 2, 4, 8, 11, 16}) {
          const Options o{
              .N = 3, .H = 2, .planes = planes, .rest = 1, .dtype = dtype, .interleaved = interleaved};
          harness::expect_matches_reference(rope_case(o), {.sums = 2});
        }
  });
}

TEST(Rope, OfManyHeadsMatchesTheReference) {
  for (DType dtype : {DType::f32, DType::bf16})
    for (bool interleaved : {false, true})
      for (int64 planes : {32, 30}) {
        const Options o{
            .N = 2, .H = 45, .planes = planes, .rest = 4, .dtype = dtype, .interleaved = interleaved};
        harness::expect_matches_reference(rope_case(o), {.sums = 2});
      }
}

TEST(Rope, HasTheSameBitsAtAnyThreadsAndInPlace) {
  for (DType dtype : {DType::f32, DType::bf16})
    for (bool interleaved : {false, true}) {
      const Case c =
          rope_case({.N = 600, .H = 3, .planes = 11, .rest = 7, .dtype = dtype, .interleaved = interleaved});
      harness::expect_same_bits_at_any_threads(c);
      EXPECT_EQ(harness::run_in_place(c, {{4, 0}})[0].bits(), harness::run(c)[4].bits());
    }
}

TEST(Rope, IsMultiplicationOfComplexNumbers) {
  for (bool interleaved : {false, true}) {
    const Options o{.N = 7, .H = 2, .planes = 5, .rest = 3, .interleaved = interleaved};
    Case c = rope_case(o);
    const auto t = harness::run(c);
    const auto pair = [&](const Tensor& tensor, int64 head, int64 i) {
      const int64 first = head * o.D() + (interleaved ? 2 * i : i);
      return std::complex(tensor.get(first), tensor.get(first + (interleaved ? 1 : o.planes)));
    };
    for (int64 head = 0; head < o.N * o.H; ++head) {
      const double position = t[1].get(head / o.H);
      for (int64 i = 0; i < o.planes; ++i) {
        const double angle =
            position * std::pow(100.0, -static_cast<double>(i) / static_cast<double>(o.planes));
        EXPECT_LT(std::abs(pair(t[4], head, i) - pair(t[0], head, i) * std::polar(1.0, angle)), 2e-6);
      }
      for (int64 d = 2 * o.planes; d < o.D(); ++d)
        EXPECT_EQ(t[4].get(head * o.D() + d), t[0].get(head * o.D() + d));
    }
  }
}

// The gradient of <dy, rope(x)> by x is rope(dy) backwards: the inverse of a rotation is its transpose.
TEST(Rope, InverseIsTheTranspose) {
  for (Backend backend : {Backend::reference, harness::backend_under_test()})
    for (bool interleaved : {false, true}) {
      Options o{.N = 13, .H = 3, .planes = 6, .rest = 4, .interleaved = interleaved};
      const Case there = rope_case(o);
      o.inverse = true;
      Case back = rope_case(o);
      back.operands[0].value = [](int64 i) { return harness::projection(5, i); };
      const auto t = harness::run(there, backend), dt = harness::run(back, backend);
      double forward = 0, backward = 0;
      for (int64 i = 0; i < t[0].elements(); ++i) {
        forward += dt[0].get(i) * t[4].get(i);
        backward += dt[4].get(i) * t[0].get(i);
      }
      EXPECT_NEAR(forward, backward, backend == Backend::reference ? 1e-12 : 2e-5);

      Case round_trip = back;
      round_trip.operands[0].value = [&](int64 i) { return t[4].get(i); };
      const auto again = harness::run(round_trip, backend);
      for (int64 i = 0; i < t[0].elements(); ++i)
        EXPECT_NEAR(again[4].get(i), t[0].get(i), 1e-6) << i;  // the tables are rounded to f32
    }
}

TEST(Rope, GradientMatchesFiniteDifferences) {
  Options o{.N = 4, .H = 2, .planes = 3, .rest = 2};
  const Case f = rope_case(o);
  o.inverse = true;
  const Case b = rope_case(o);
  auto x = harness::make_operands(f, Backend::reference), g = harness::make_operands(b, Backend::reference);
  Stream stream(Backend::reference);
  const auto loss = [&] {
    f.call(stream, harness::views_of(x));
    return harness::project(x[4], 7);
  };
  for (int64 i = 0; i < g[0].elements(); ++i) g[0].set(i, harness::projection(7, i));
  b.call(stream, harness::views_of(g));
  harness::expect_gradient(x[0], g[4], loss, "dx");
}

TEST(RopeTable, HoldsTheAnglesOfItsFrequencies) {
  constexpr int64 kLength = 4097, kPlanes = 8;
  for (Backend backend : {harness::backend_under_test(), Backend::reference}) {
    const double tolerance = backend == Backend::reference ? 1e-11 : 8e-8;
    constexpr double kMultiplier = 1.25;
    const auto tables = harness::run(check::rope_table_case(kLength, kPlanes, kMultiplier), backend, 2);
    const Tensor &cosine = tables[0], &sine = tables[1];
    for (int64 p : {int64{0}, int64{1}, int64{63}, int64{64}, kLength - 1})
      for (int64 i = 0; i < kPlanes; ++i) {
        const long double frequency =
            1 / std::pow(500000.0L, 2.0L * static_cast<long double>(i) / (2 * kPlanes));
        const long double angle = static_cast<long double>(p) * frequency;
        EXPECT_NEAR(cosine.get(p * kPlanes + i), kMultiplier * static_cast<double>(std::cos(angle)),
                    tolerance);
        EXPECT_NEAR(sine.get(p * kPlanes + i), kMultiplier * static_cast<double>(std::sin(angle)), tolerance);
      }
  }
}

TEST(RopeDeathTest, APositionBeyondTheTableAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  for (Backend backend : {harness::backend_under_test(), Backend::reference})
    for (double position : {double{check::kRopePositions}, -1.0}) {
      Case c = rope_case({.N = 3, .H = 1, .planes = 2});
      c.operands[1].value = [=](int64 n) { return n == 2 ? position : 0; };
      EXPECT_DEATH(harness::run_to_its_end(c, backend), device_of(backend) == Device::cuda
                                                            ? "CUDA: .* rope <<<|the kernel traps"
                                                            : "in a table of 50");
    }
}

}  // namespace
}  // namespace fovea
