#include "kernels/layer_norm/case.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "harness.h"
#include "instruction_sets.h"

namespace fovea {
namespace {

using harness::Case;
using harness::Tensor;

using check::layer_norm_backward_case;
using check::layer_norm_case;
using Options = check::LayerNormProblem;

rc::Gen<Options> any_options() {
  return rc::gen::exec([] {
    Options o;
    o.N = *rc::gen::inRange<int64>(0, 70);
    o.C = *rc::gen::inRange<int64>(2, 150);
    o.x = *rc::gen::element(DType::f32, DType::bf16);
    o.y = *rc::gen::element(DType::f32, DType::bf16);
    o.layout = {*rc::gen::inRange<int64>(0, 9), *rc::gen::inRange<int64>(0, 9)};
    o.bias = *rc::gen::arbitrary<bool>();
    o.accumulate = *rc::gen::arbitrary<bool>();
    return o;
  });
}

RC_GTEST_PROP(LayerNorm, MatchesTheReference, ()) {
  const Options o = *any_options();
  harness::expect_matches_reference(layer_norm_case(o), {.sums = 32}, 2);
  harness::expect_matches_reference(layer_norm_backward_case(o), {.sums = 32}, 2);
  RC_ASSERT(!testing::Test::HasFailure());
}

// As in rms_norm_test.cc: rows of several warps, rows beyond a block's registers, many parts of the rows.
TEST(LayerNorm, OfAnyShapeMatchesTheReference) {
  for (const Options& o : {Options{.N = 19, .C = 1000, .y = DType::bf16, .accumulate = true},
                           Options{.N = 11, .C = 5003, .x = DType::bf16, .layout = {1, 1}},
                           Options{.N = 2, .C = 16500}, Options{.N = 1200, .C = 5, .bias = false}}) {
    SCOPED_TRACE(fmt::format("({}, {})", o.N, o.C));
    harness::expect_matches_reference(layer_norm_case(o));
    harness::expect_matches_reference(layer_norm_backward_case(o), {.sums = 64});
  }
}

TEST(LayerNorm, MatchesTheReferenceOnEveryInstructionSet) {
  harness::for_each_instruction_set([] {
    for (DType dtype : {DType::f32, DType::bf16})
      for (int64 C : {2, 4, 8, 15, 40}) {
        const Options o{.N = 3, .C = C, .x = dtype, .y = dtype, .accumulate = true};
        harness::expect_matches_reference(layer_norm_case(o));
        harness::expect_matches_reference(layer_norm_backward_case(o));
      }
  });
}

TEST(LayerNorm, HasTheSameBitsAtAnyThreads) {
  for (DType dtype : {DType::f32, DType::bf16})
    for (int64 N : {1, 33, 300}) {
      const Options o{.N = N, .C = 131, .x = dtype, .y = dtype, .accumulate = true};
      harness::expect_same_bits_at_any_threads(layer_norm_case(o));
      harness::expect_same_bits_at_any_threads(layer_norm_backward_case(o));
    }
}

TEST(LayerNorm, GradientsMatchFiniteDifferences) {
  const Options o{.N = 5, .C = 19};
  const Case f = layer_norm_case(o), b = layer_norm_backward_case(o);
  auto x = harness::make_operands(f, Backend::reference);
  auto g = harness::make_operands(b, Backend::reference);
  Stream stream(Backend::reference);
  const auto loss = [&] {
    f.call(stream, harness::views_of(x));
    return harness::project(x[3], 7);
  };
  loss();
  for (int64 i = 0; i < g[4].elements(); ++i) g[4].set(i, harness::projection(7, i));
  for (int64 c = 0; c < o.C; ++c) {
    g[6].set(c, 0);
    g[7].set(c, 0);
  }
  b.call(stream, {x[0], x[1], x[4], x[5], g[4], g[5], g[6], g[7]});
  harness::expect_gradient(x[0], g[5], loss, "dx");
  harness::expect_gradient(x[1], g[6], loss, "dweight");
  harness::expect_gradient(x[2], g[7], loss, "dbias");
}

TEST(LayerNorm, BackwardMayOverwriteItsGradient) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    const Case c = layer_norm_backward_case({.N = 9, .C = 45, .x = dtype, .y = dtype});
    const auto apart = harness::run(c);
    const auto together = harness::run_in_place(c, {{5, 4}});
    EXPECT_EQ(together[4].bits(), apart[5].bits());
    EXPECT_EQ(together[6].bits(), apart[6].bits());
    EXPECT_EQ(together[7].bits(), apart[7].bits());
  }
}

TEST(LayerNorm, AMeanFarFromZeroCostsNoPrecision) {
  // The variance is taken about the mean: by mean(x^2) - mean^2 nothing of it would be left in f32.
  Case c = layer_norm_case({.N = 3, .C = 64, .bias = false});
  c.operands[0].value = [](int64 i) { return 4096 + static_cast<double>(i % 5) / 4; };
  const auto actual = harness::run(c), expected = harness::run(c, Backend::reference);
  harness::expect_close(actual[5], expected[5], {.sums = 32}, "inverse_deviation");
}

TEST(LayerNorm, NormalisesByItsDefinition) {
  Case c = layer_norm_case({.N = 1, .C = 2});
  c.operands[0].value = [](int64 i) { return i == 0 ? 1 : 5; };
  c.operands[1].value = [](int64) { return 3; };
  c.operands[2].value = [](int64) { return 0.5; };
  c.call = [](Stream& stream, const std::vector<View>& v) {
    layer_norm(stream, {.x = v[0],
                        .weight = v[1],
                        .bias = v[2],
                        .y = v[3],
                        .mean = v[4],
                        .inverse_deviation = v[5],
                        .epsilon = 0});
  };
  const auto t = harness::run(c);
  EXPECT_EQ(t[4].get(0), 3);
  EXPECT_NEAR(t[5].get(0), 0.5, 1e-7);
  EXPECT_NEAR(t[3].get(0), -2.5, 1e-6);
  EXPECT_NEAR(t[3].get(1), 3.5, 1e-6);
}

TEST(LayerNorm, ANaNStaysInItsRow) {
  for (Backend backend : {harness::backend_under_test(), Backend::reference}) {
    Case c = layer_norm_case({.N = 5, .C = 37});
    c.operands[0].value = [](int64 i) {
      return i == 2 * 37 + 36 ? std::nan("") : 1.0 + static_cast<double>(i % 3);
    };
    const auto tensors = harness::run(c, backend);
    for (int64 i = 0; i < 5 * 37; ++i) EXPECT_EQ(std::isnan(tensors[3].get(i)), i / 37 == 2) << i;
  }
}

TEST(LayerNormDeathTest, AnOperandThatDoesNotFitAborts) {
  const Tensor x(DType::f32, {2, 3}), weight(DType::f32, {3}), bias(DType::f32, {4}), n(DType::f32, {2});
  Stream stream(Backend::cpu);
  EXPECT_DEATH(
      layer_norm(stream, {.x = x, .weight = weight, .bias = bias, .y = x, .mean = n, .inverse_deviation = n}),
      "layer_norm: bias");
}

}  // namespace
}  // namespace fovea
