#include "kernels/cross_entropy/case.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "harness.h"

namespace fovea {
namespace {

using harness::Case;
using harness::Role;
using harness::Tensor;

using check::linear_cross_entropy_case;
using Problem = check::CrossEntropyProblem;

enum Index { kHidden, kWeight, kBias, kTargets, kLosses, kDHidden, kDWeight, kDBias };

RC_GTEST_PROP(LinearCrossEntropy, MatchesTheOracle, ()) {
  Problem p{.N = *rc::gen::inRange<int64>(0, 70),
            .C = *rc::gen::inRange<int64>(1, 40),
            .V = *rc::gen::inRange<int64>(1, 90)};
  p.dtype = *rc::gen::element(DType::f32, DType::bf16);
  p.bias = *rc::gen::arbitrary<bool>();
  p.gradients = *rc::gen::arbitrary<bool>();
  p.accumulators = *rc::gen::arbitrary<bool>();
  p.accumulate = p.N == 0 || *rc::gen::arbitrary<bool>();
  p.softcap = *rc::gen::element(0.0f, 2.5f);
  p.layout = {*rc::gen::inRange<int64>(0, 3), *rc::gen::inRange<int64>(0, 3)};
  RC_ASSERT(harness::mismatch(linear_cross_entropy_case(p, *rc::gen::arbitrary<uint64>()),
                              check::cross_entropy_tolerance(p.dtype), *rc::gen::inRange(1, 4)) == "");
}

/// Several chunks, the last one ragged; a vocabulary of several panels.
std::vector<Problem> large_problems() {
  return {{.N = 1100, .C = 33, .V = 257, .bias = true},
          {.N = 1100, .C = 33, .V = 257, .dtype = DType::bf16, .softcap = 4},
          {.N = 1100, .C = 33, .V = 257, .dtype = DType::bf16, .accumulate = false},
          {.N = 2100, .C = 9, .V = 70, .dtype = DType::bf16, .softcap = 4},
          {.N = 130, .C = 20, .V = 66'000 / 2},
          // On a device rows that no cache of a block holds, and vocabularies that are no multiple of 8.
          {.N = 7, .C = 9, .V = 9'001, .dtype = DType::bf16, .bias = true, .softcap = 4},
          {.N = 7, .C = 9, .V = 20'000, .dtype = DType::bf16},
          {.N = 6, .C = 9, .V = 50'257, .dtype = DType::bf16, .bias = true},
          {.N = 4, .C = 5, .V = 54'001, .dtype = DType::bf16}};
}

TEST(LinearCrossEntropy, ChunksMatchTheOracle) {
  for (const Problem& p : large_problems())
    harness::expect_matches_reference(linear_cross_entropy_case(p),
                                      check::cross_entropy_tolerance(p.dtype, {1, 128}), 2);
}

TEST(LinearCrossEntropy, HasTheSameBitsAtAnyThreads) {
  for (const Problem& p : large_problems())
    harness::expect_same_bits_at_any_threads(linear_cross_entropy_case(p));
}

TEST(LinearCrossEntropy, LossesDoNotDependOnWhetherGradientsAreAsked) {
  Problem p{.N = 300, .C = 17, .V = 130, .softcap = 3};
  const auto with = harness::run(linear_cross_entropy_case(p), harness::backend_under_test());
  p.gradients = false;
  const auto without = harness::run(linear_cross_entropy_case(p), harness::backend_under_test());
  EXPECT_TRUE(with[kLosses].bits() == without[kLosses].bits());
}

TEST(LinearCrossEntropy, IgnoredRowsLoseNothingAndPullNothing) {
  for (Backend backend : {Backend::reference, harness::backend_under_test()}) {
    const auto v = harness::run(linear_cross_entropy_case({.N = 20, .C = 6, .V = 9}), backend);
    for (int64 n = 0; n < 20; ++n) {
      EXPECT_EQ(v[kLosses].get(n) == 0, n % 5 == 3) << name_of(backend) << " row " << n;
      for (int64 c = 0; c < 6; ++c) EXPECT_EQ(v[kDHidden].get(n * 6 + c) == 0, n % 5 == 3) << n;
    }
  }
}

TEST(LinearCrossEntropy, UniformLogitsLoseTheLogarithmOfTheVocabulary) {
  for (Backend backend : {Backend::reference, harness::backend_under_test()}) {
    Case c = linear_cross_entropy_case({.N = 4, .C = 3, .V = 256});
    c.operands[kWeight].value = [](int64) { return 0.0; };
    EXPECT_NEAR(harness::run(c, backend)[kLosses].get(0), std::log(256.0), 1e-6);
  }
}

TEST(LinearCrossEntropy, LargeLogitsStayFinite) {
  Case c = linear_cross_entropy_case({.N = 8, .C = 4, .V = 50});
  c.operands[kHidden].value = [](int64) { return 1e4; };
  harness::expect_matches_reference(c, {4, 64});
}

/// Logits over some 300 units, targets anywhere in them: of most the probability is 0.
TEST(LinearCrossEntropy, ATargetFarBelowTheLargestLogitHasAFiniteLoss) {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const int64 V : {50, 1030, 4500}) {
      Case c = linear_cross_entropy_case({.N = 40, .C = 4, .V = V, .dtype = dtype});
      c.operands[kHidden].value = [](int64 i) { return i % 4 == 0 ? 1.0 : 0.0; };
      c.operands[kWeight].value = [V](int64 i) {
        return i % 4 == 0 ? static_cast<double>(i / 4 * 37 % V) * 300 / static_cast<double>(V) - 200 : 0.0;
      };
      const std::vector<Tensor> v = harness::run(c, harness::backend_under_test());
      double largest = 0;
      for (int64 n = 0; n < 40; ++n) largest = std::max(largest, v[kLosses].get(n));
      EXPECT_GT(largest, 100);
      harness::expect_matches_reference(c, check::cross_entropy_tolerance(dtype));
    }
}

TEST(LinearCrossEntropy, ANonFiniteRowSpoilsItsOwnLossAlone) {
  for (double bad : {std::nan(""), std::numeric_limits<double>::infinity()})
    for (float softcap : {0.0f, 5.0f})
      for (Backend backend : {Backend::reference, harness::backend_under_test()})
        for (int64 V : {5, 64, 77}) {
          Case c = linear_cross_entropy_case({.N = 20, .C = 6, .V = V, .softcap = softcap});
          c.operands[kHidden].value = [bad](int64 i) { return i / 6 == 7 || i / 6 == 8 ? bad : 0.5; };
          c.operands[kWeight].value = [](int64 i) { return i % 7 + 1.0; };  // infinity, which a softcap hides
          const auto v = harness::run(c, backend);
          for (int64 n = 0; n < 20; ++n)  // row 8 is ignored
            EXPECT_EQ(std::isfinite(v[kLosses].get(n)), n != 7) << name_of(backend) << " row " << n;
          EXPECT_FALSE(std::isfinite(v[kDHidden].get(7 * 6)));
          EXPECT_EQ(v[kDHidden].get(8 * 6), 0);
          EXPECT_TRUE(std::isfinite(v[kDHidden].get(6 * 6)));
        }
}

TEST(LinearCrossEntropy, NeverHoldsMoreThanAChunkOfLogits) {
  Stream planning(harness::backend_under_test(), 2, Stream::Mode::plan);
  const int64 N = 16'384, C = 64, V = 50'257;
  const View hidden(nullptr, DType::f32, {N, C}), weight(nullptr, DType::f32, {V, C});
  linear_cross_entropy(planning, {.hidden = hidden,
                                  .weight = weight,
                                  .bias = {},
                                  .targets = View(nullptr, DType::i32, {N}),
                                  .losses = View(nullptr, DType::f32, {N}),
                                  .dhidden = hidden,
                                  .dweight = weight,
                                  .dbias = {}});
  const bool on_device = planning.device() == Device::cuda;
  // All logits: 3 GiB. On a device a copy of the weights may be there too.
  EXPECT_LT(planning.peak_scratch_bytes(), on_device ? 600 << 20 : 96 << 20);
  EXPECT_EQ(planning.flops(), 3 * 2.0 * N * C * V);
}

TEST(Reference, CrossEntropyGradientsMatchFiniteDifferences) {
  for (float softcap : {0.0f, 1.5f}) {
    Case c = linear_cross_entropy_case(
        {.N = 9, .C = 4, .V = 7, .dtype = DType::f64, .bias = true, .softcap = softcap});
    c.operands[kDWeight].value = c.operands[kDBias].value = [](int64) { return 0.0; };
    const auto gradients = harness::run(c, Backend::reference);
    std::vector<Tensor> v = harness::make_operands(c, Backend::reference);
    Stream stream(Backend::reference);
    const auto loss = [&] {
      c.call(stream, harness::views_of(v));
      double sum = 0;
      for (int64 n = 0; n < 9; ++n) sum += v[kLosses].get(n);
      return 0.125 * sum;
    };
    harness::expect_gradient(v[kHidden], gradients[kDHidden], loss, "hidden");
    harness::expect_gradient(v[kWeight], gradients[kDWeight], loss, "weight");
    harness::expect_gradient(v[kBias], gradients[kDBias], loss, "bias");
  }
}

RC_GTEST_PROP(LinearLogits, MatchesTheOracle, ()) {
  const Problem p{.N = *rc::gen::inRange<int64>(0, 40),
                  .C = *rc::gen::inRange<int64>(1, 40),
                  .V = *rc::gen::inRange<int64>(1, 90),
                  .dtype = *rc::gen::element(DType::f32, DType::bf16),
                  .bias = *rc::gen::arbitrary<bool>(),
                  .softcap = *rc::gen::element(0.0f, 2.5f),
                  .layout = {2, 1}};
  RC_ASSERT(harness::mismatch(check::linear_logits_case(p), {.roundings = 1, .sums = 32}, 2) == "");
}

TEST(LinearLogits, ANaNStaysInItsRow) {
  for (float softcap : {0.0f, 2.0f}) {
    const Case c{
        .operands =
            {{"hidden", DType::f32, {5, 3}, Role::in, [](int64 i) { return i == 7 ? std::nan("") : 1.0; }},
             {"weight", DType::f32, {20, 3}},
             {"logits", DType::f32, {5, 20}, Role::out}},
        .call = [softcap](Stream& stream, const auto& v) {
          linear_logits(stream, {v[0], v[1], {}, v[2], softcap});
        }};
    const Tensor logits = std::move(harness::run(c, harness::backend_under_test())[2]);
    for (int64 i = 0; i < 100; ++i) EXPECT_EQ(std::isnan(logits.get(i)), i / 20 == 2) << i;
  }
}

TEST(CrossEntropyDeathTest, ATargetBeyondTheVocabularyAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  for (const Backend backend : {harness::backend_under_test(), Backend::reference})
    for (const double target : {9.0, -2.0}) {
      Case c = linear_cross_entropy_case({.N = 3, .C = 2, .V = 9});
      c.operands[kTargets].value = [target](int64 n) { return n == 1 ? target : 0; };
      EXPECT_DEATH(harness::run_to_its_end(c, backend), device_of(backend) == Device::cuda
                                                            ? "CUDA: .* cross_entropy|the kernel traps"
                                                            : "target (9|-2) of 9");
    }
}

}  // namespace
}  // namespace fovea
