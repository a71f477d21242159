#include "kernels/activation/case.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "harness.h"
#include "instruction_sets.h"

namespace fovea {
namespace {

using harness::Case;
using harness::Tensor;

constexpr ActivationKind kKinds[] = {ActivationKind::silu, ActivationKind::relu, ActivationKind::gelu,
                                     ActivationKind::gelu_tanh};

using check::activation_backward_case;
using check::activation_case;
using Options = check::ActivationProblem;

RC_GTEST_PROP(Activation, MatchesTheReference, ()) {
  Options o;
  o.N = *rc::gen::inRange<int64>(0, 12);
  o.C = *rc::gen::element<int64>(1, 3, 8, 37, 64, 511, 512, 513, 1100);
  o.kind = *rc::gen::elementOf(std::vector<ActivationKind>(std::begin(kKinds), std::end(kKinds)));
  o.dtype = *rc::gen::element(DType::f32, DType::bf16);
  o.gated = *rc::gen::arbitrary<bool>();
  o.layout = {*rc::gen::inRange<int64>(0, 9), *rc::gen::inRange<int64>(0, 9)};
  harness::expect_matches_reference(activation_case(o), {.roundings = 1, .sums = 2}, 2);
  harness::expect_matches_reference(activation_backward_case(o), {.roundings = 1, .sums = 2}, 2);
  RC_ASSERT(!testing::Test::HasFailure());
}

TEST(Activation, MatchesTheReferenceOnEveryInstructionSet) {
  harness::for_each_instruction_set([] {
    for (ActivationKind kind : kKinds)
      for (DType dtype : {DType::f32, DType::bf16}) {
        const Options o{.N = 2, .C = 77, .kind = kind, .dtype = dtype};
        harness::expect_matches_reference(activation_case(o), {.sums = 2});
        harness::expect_matches_reference(activation_backward_case(o), {.sums = 2});
      }
  });
}

// Not relative to the largest value of the tensor but to each value itself: small results count too.
TEST(Activation, IsAccurateFarIntoItsTails) {
  constexpr int64 kPoints = 4001;
  for (ActivationKind kind : kKinds) {
    Case c = activation_backward_case({.N = 1, .C = kPoints, .kind = kind});
    c.operands[0].value = [](int64 i) { return -12 + 24 * static_cast<double>(i) / (kPoints - 1); };
    for (size_t i : {1, 2}) c.operands[i].value = [](int64) { return 1.0; };
    const auto actual = harness::run(c), expected = harness::run(c, Backend::reference);
    for (size_t operand : {3, 4})
      for (int64 i = 0; i < kPoints; ++i) {
        // The exponent's rounding counts |x|^2 / 2 times; slopes cancel near their zero, and the oracle's 1 +
        // tanh where it is almost 0.
        const double x = actual[0].get(i), e = expected[operand].get(i);
        const double cancelled = operand == 3 && std::abs(x) < 2     ? 3e-7
                                 : kind == ActivationKind::gelu_tanh ? 1e-14
                                                                     : 1e-36;
        const double allowed = (8 + 2 * x * x) * 0x1p-23 * std::abs(e) + cancelled;
        ASSERT_NEAR(actual[operand].get(i), e, allowed) << static_cast<int>(kind) << " at " << x;
      }
  }
}

TEST(Activation, LargeInputsStayFinite) {
  for (ActivationKind kind : kKinds) {
    Case c = activation_backward_case({.N = 1, .C = 10, .kind = kind});
    const std::vector<double> points = {-3e38, -1e20, -200, -88.5, -87.5, 87.5, 88.5, 200, 1e20, 3e38};
    c.operands[0].value = [&](int64 i) { return points[static_cast<size_t>(i)]; };
    for (size_t i : {1, 2}) c.operands[i].value = [](int64) { return 1.0; };
    const auto t = harness::run(c);
    for (int64 i = 0; i < 10; ++i) {
      const double x = t[0].get(i);
      EXPECT_NEAR(t[3].get(i), x > 0, 1e-30) << static_cast<int>(kind) << " at " << x;
      EXPECT_NEAR(t[4].get(i), std::max(x, 0.0), 1e-30) << static_cast<int>(kind) << " at " << x;
    }
  }
}

TEST(Activation, KnownValues) {
  // silu(1), relu(1), gelu(1) = Phi(1), and gelu_tanh(1) as transformers' gelu_new gives it.
  const double expected[] = {0.7310585786, 1, 0.8413447461, 0.8411919906};
  for (ActivationKind kind : kKinds)
    for (Backend backend : {harness::backend_under_test(), Backend::reference}) {
      Case c = activation_case({.N = 1, .C = 1, .kind = kind, .gated = false});
      c.operands[0].value = [](int64) { return 1.0; };
      EXPECT_NEAR(harness::run(c, backend)[2].get(0), expected[static_cast<size_t>(kind)], 1e-7);
    }
}

TEST(Activation, ANaNStaysWhereItIs) {
  for (ActivationKind kind : kKinds) {
    Case c = activation_backward_case({.N = 1, .C = 21, .kind = kind});
    c.operands[0].value = [](int64 i) { return i == 20 || i == 3 ? std::nan("") : 0.5; };
    const auto t = harness::run(c);
    for (int64 i = 0; i < 21; ++i)
      EXPECT_EQ(std::isnan(t[4].get(i)), i == 20 || i == 3) << static_cast<int>(kind);
  }
}

TEST(Activation, HasTheSameBitsAtAnyThreads) {
  for (ActivationKind kind : kKinds)
    for (DType dtype : {DType::f32, DType::bf16}) {
      const Options o{.N = 130, .C = 300, .kind = kind, .dtype = dtype};
      harness::expect_same_bits_at_any_threads(activation_case(o));
      harness::expect_same_bits_at_any_threads(activation_backward_case(o));
    }
}

TEST(Activation, GradientsMatchFiniteDifferences) {
  for (ActivationKind kind : kKinds)
    for (bool gated : {false, true}) {
      const Options o{.N = 3, .C = 11, .kind = kind, .gated = gated};
      const Case f = activation_case(o), b = activation_backward_case(o);
      auto x = harness::make_operands(f, Backend::reference),
           g = harness::make_operands(b, Backend::reference);
      for (int64 i = 0; i < x[0].elements(); ++i)  // no step of the difference crosses relu's kink
        if (std::abs(x[0].get(i)) < 0.01) x[0].set(i, 0.5);
      Stream stream(Backend::reference);
      const auto loss = [&] {
        f.call(stream, harness::views_of(x));
        return harness::project(x[2], 7);
      };
      for (int64 i = 0; i < g[2].elements(); ++i) g[2].set(i, harness::projection(7, i));
      b.call(stream, {x[0], x[1], g[2], g[3], g[4]});
      harness::expect_gradient(x[0], g[3], loss, "dgate");
      if (gated) harness::expect_gradient(x[1], g[4], loss, "dup");
    }
}

TEST(Activation, BackwardMayOverwriteItsInputs) {
  for (DType dtype : {DType::f32, DType::bf16})
    for (size_t target : {0, 2}) {  // dgate over gate or dout; dup over up
      const Case c =
          activation_backward_case({.N = 3, .C = 600, .kind = ActivationKind::gelu, .dtype = dtype});
      const auto apart = harness::run(c);
      const auto t = harness::run_in_place(c, {{3, target}, {4, 1}});
      EXPECT_EQ(t[target].bits(), apart[3].bits());
      EXPECT_EQ(t[1].bits(), apart[4].bits());
    }
}

TEST(ActivationDeathTest, UpAndItsGradientComeTogether) {
  const Tensor x(DType::f32, {2, 3});
  Stream stream(Backend::cpu);
  EXPECT_DEATH(activation_backward(stream, {.gate = x, .up = x, .dout = x, .dgate = x}), "come together");
}

}  // namespace
}  // namespace fovea
