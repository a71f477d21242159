#include "kernels/rms_norm/case.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "harness.h"
#include "instruction_sets.h"

namespace fovea {
namespace {

using harness::Case;
using harness::Tensor;

using check::rms_norm_backward_case;
using check::rms_norm_case;
using Options = check::RmsNormProblem;

rc::Gen<Options> any_options() {
  return rc::gen::exec([] {
    Options o;
    o.N = *rc::gen::inRange<int64>(0, 70);
    o.C = *rc::gen::inRange<int64>(1, 150);
    o.x = *rc::gen::element(DType::f32, DType::bf16);
    o.y = *rc::gen::element(DType::f32, DType::bf16);
    o.layout = {*rc::gen::inRange<int64>(0, 9), *rc::gen::inRange<int64>(0, 9)};
    o.weight_offset = *rc::gen::element(0.0f, 1.0f);
    o.accumulate = *rc::gen::arbitrary<bool>();
    return o;
  });
}

RC_GTEST_PROP(RmsNorm, MatchesTheReference, ()) {
  const Options o = *any_options();
  harness::expect_matches_reference(rms_norm_case(o), {.sums = 8}, 2);
  harness::expect_matches_reference(rms_norm_backward_case(o), {.roundings = 1, .sums = 32}, 2);
  RC_ASSERT(!testing::Test::HasFailure());
}

// What a thread of a device holds of a row, how many threads have one, and how rows are cut into parts change
// with the shape: rows of several warps, rows beyond a block's registers, more parts than threads that add
// them.
TEST(RmsNorm, OfAnyShapeMatchesTheReference) {
  for (const Options& o :
       {Options{.N = 19, .C = 1000, .y = DType::bf16, .accumulate = true},
        Options{.N = 11, .C = 5003, .x = DType::bf16, .layout = {1, 1}}, Options{.N = 2, .C = 16500},
        Options{.N = 1200, .C = 5}, Options{.N = 8300, .C = 260}}) {
    SCOPED_TRACE(fmt::format("({}, {})", o.N, o.C));
    harness::expect_matches_reference(rms_norm_case(o), {.sums = 8});
    harness::expect_matches_reference(rms_norm_backward_case(o), {.sums = 64});
  }
}

TEST(RmsNorm, MatchesTheReferenceOnEveryInstructionSet) {
  harness::for_each_instruction_set([] {
    for (DType dtype : {DType::f32, DType::bf16})
      for (int64 C : {1, 2, 4, 8, 15, 40}) {
        const Options o{.N = 3, .C = C, .x = dtype, .y = dtype, .accumulate = true};
        harness::expect_matches_reference(rms_norm_case(o), {.sums = 8});
        harness::expect_matches_reference(rms_norm_backward_case(o));
      }
  });
}

TEST(RmsNorm, HasTheSameBitsAtAnyThreads) {
  for (DType dtype : {DType::f32, DType::bf16})
    for (int64 N : {1, 33, 300}) {
      const Options o{.N = N, .C = 131, .x = dtype, .y = dtype, .accumulate = true};
      harness::expect_same_bits_at_any_threads(rms_norm_case(o));
      harness::expect_same_bits_at_any_threads(rms_norm_backward_case(o));
    }
}

TEST(RmsNorm, GradientsMatchFiniteDifferences) {
  const Options o{.N = 5, .C = 19, .weight_offset = 1};
  const Case f = rms_norm_case(o), b = rms_norm_backward_case(o);
  auto x = harness::make_operands(f, Backend::reference);
  auto g = harness::make_operands(b, Backend::reference);
  Stream stream(Backend::reference);
  const auto loss = [&] {
    f.call(stream, harness::views_of(x));
    return harness::project(x[2], 7);
  };
  loss();
  for (int64 i = 0; i < g[3].elements(); ++i) g[3].set(i, harness::projection(7, i));
  for (int64 c = 0; c < o.C; ++c) g[5].set(c, 0);
  b.call(stream, {x[0], x[1], x[3], g[3], g[4], g[5]});
  harness::expect_gradient(x[0], g[4], loss, "dx");
  harness::expect_gradient(x[1], g[5], loss, "dweight");
}

TEST(RmsNorm, BackwardMayOverwriteItsGradient) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    const Case c = rms_norm_backward_case({.N = 9, .C = 45, .x = dtype, .y = dtype});
    const auto apart = harness::run(c);
    const auto together = harness::run_in_place(c, {{4, 3}});
    EXPECT_EQ(together[3].bits(), apart[4].bits());
    EXPECT_EQ(together[5].bits(), apart[5].bits());
  }
}

TEST(RmsNorm, NormalisesByItsDefinition) {
  Case c = rms_norm_case({.N = 1, .C = 2});
  c.operands[0].value = [](int64 i) { return i == 0 ? 3 : 4; };
  c.operands[1].value = [](int64 i) { return i == 0 ? 2 : -1; };
  c.call = [](Stream& stream, const std::vector<View>& v) {
    rms_norm(stream,
             {.x = v[0], .weight = v[1], .y = v[2], .inverse_rms = v[3], .epsilon = 0, .weight_offset = 1});
  };
  const auto t = harness::run(c);
  EXPECT_NEAR(t[3].get(0), 1 / std::sqrt(12.5), 1e-7);
  EXPECT_NEAR(t[2].get(0), 3 * 3 / std::sqrt(12.5), 1e-6);
  EXPECT_EQ(t[2].get(1), 0);
}

TEST(RmsNorm, ANaNStaysInItsRow) {
  for (Backend backend : {harness::backend_under_test(), Backend::reference}) {
    Case c = rms_norm_case({.N = 5, .C = 37});
    c.operands[0].value = [](int64 i) {
      return i == 2 * 37 + 36 ? std::nan("") : 1.0 + static_cast<double>(i % 3);
    };
    const auto tensors = harness::run(c, backend);
    for (int64 i = 0; i < 5 * 37; ++i) EXPECT_EQ(std::isnan(tensors[2].get(i)), i / 37 == 2) << i;
  }
}

TEST(RmsNormDeathTest, AnOperandThatDoesNotFitAborts) {
  const Tensor x(DType::f32, {2, 3}), weight(DType::f32, {4}), r(DType::f32, {2});
  Stream stream(Backend::cpu);
  EXPECT_DEATH(rms_norm(stream, {.x = x, .weight = weight, .y = x, .inverse_rms = r}), "rms_norm: weight");
}

}  // namespace
}  // namespace fovea
