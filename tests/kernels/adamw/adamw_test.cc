#include "kernels/adamw/case.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "harness.h"

namespace fovea {
namespace {

using harness::Case;
using harness::Operand;
using harness::Tensor;

using check::adamw_case;
using check::gated_adamw_case;
using check::usual_adamw;

enum Index { kGradient, kM, kV, kWeight, kComputeWeight };

RC_GTEST_PROP(AdamW, MatchesTheOracle, ()) {
  AdamW op = usual_adamw();
  op.step = *rc::gen::element<int64>(1, 2, 10, 100'000);
  op.epsilon = *rc::gen::element(1e-8, 1e-2);
  op.decay = *rc::gen::element(0.0, 0.1);
  op.beta2 = *rc::gen::element(0.95, 0.999);
  RC_ASSERT(harness::mismatch(adamw_case(*rc::gen::inRange<int64>(0, 200), op, *rc::gen::arbitrary<bool>(),
                                         *rc::gen::arbitrary<uint64>()),
                              check::kAdamWTolerance, 2) == "");
}

TEST(AdamW, HasTheSameBitsAtAnyThreads) {
  harness::expect_same_bits_at_any_threads(adamw_case(50'001, usual_adamw(), true));
}

TEST(AdamW, SaysWhatIsNoLongerFinite) {
  for (const Backend backend : {harness::backend_under_test(), Backend::reference})
    for (const int index : {kGradient, kM, kV, kWeight})
      for (const int64 bad : {int64{-1}, int64{0}, int64{20'000}})
        for (const double value : {std::nan(""), HUGE_VAL}) {
          AdamW op = usual_adamw();
          op.finite.emplace();
          op.finite->set(true);
          Case c = adamw_case(20'001, op, true);
          c.operands[static_cast<size_t>(index)].value = [=](int64 i) { return i == bad ? value : 0.5; };
          harness::run(c, backend, 2);
          EXPECT_EQ(op.finite->get(), bad < 0) << index << " " << bad << " " << value;
        }
}

TEST(AdamW, AFactorInMemoryIsAFactorOfTheGradient) {
  for (const Backend backend : {harness::backend_under_test(), Backend::reference}) {
    AdamW scaled = usual_adamw();
    scaled.gradient_scale = 0.7 * 0.3;
    const auto expected = harness::run(adamw_case(20'001, scaled, true), backend, 2);
    const auto actual = harness::run(gated_adamw_case(20'001, usual_adamw(), 0.3, true), backend, 2);
    for (const size_t i : {kM, kV, kWeight, kComputeWeight})
      EXPECT_TRUE(expected[i].bits() == actual[i].bits()) << name_of(backend) << " " << i;
  }
}

TEST(AdamW, WhereTheFlagIsDownNothingIsWritten) {
  for (const Backend backend : {harness::backend_under_test(), Backend::reference}) {
    AdamW op = usual_adamw();
    op.finite.emplace();
    op.finite->set(true);
    const Case c = gated_adamw_case(20'001, op, std::nan(""), false);
    const auto before = harness::make_operands(c, backend), after = harness::run(c, backend, 2);
    for (const size_t i : {kM, kV, kWeight, kComputeWeight})
      EXPECT_TRUE(before[i].bits() == after[i].bits()) << name_of(backend) << " " << i;
    EXPECT_TRUE(op.finite->get());
  }
}

TEST(UpdateGate, ClipsByTheNormAndStopsWhatIsNotFinite) {
  struct Expected {
    double squares, loss, clip, factor;
    bool go;
  };
  const double inf = HUGE_VAL, nan = std::nan("");
  for (const Backend backend : {harness::backend_under_test(), Backend::reference})
    for (const Expected& e :
         {Expected{4, 1, 0, 1, true}, Expected{4, 1, 1, 1 / (2 + 1e-6), true}, Expected{4, 1, 5, 1, true},
          Expected{0, 1, 1, 1, true}, Expected{1e300, 1, 1, 1 / (1e150 + 1e-6), true},
          Expected{inf, 1, 1, 0, false}, Expected{nan, 1, 0, 1, false}, Expected{4, nan, 0, 1, false},
          Expected{4, -inf, 5, 1, false}})
      for (const bool has_loss : {true, false}) {
        const auto out =
            harness::run(check::update_gate_case({e.squares, e.loss, e.clip, has_loss}), backend);
        EXPECT_EQ(out[2].get(0), e.factor) << name_of(backend) << " " << e.squares;
        EXPECT_EQ(out[3].get(0), !has_loss && std::isfinite(e.squares) ? 1 : e.go)
            << name_of(backend) << " " << e.squares << " " << e.loss;
      }
}

TEST(AdamW, TheComputeWeightIsTheRoundedWeight) {
  const auto tensors =
      harness::run(adamw_case(20'000, usual_adamw(), true), harness::backend_under_test(), 2);
  for (int64 i = 0; i < 20'000; ++i)
    ASSERT_EQ(tensors[kComputeWeight].get(i),
              static_cast<double>(to_f32(bf16(static_cast<float>(tensors[kWeight].get(i))))));
}

TEST(AdamW, TheFirstStepFromZeroMovesByTheLearningRate) {
  for (Backend backend : {Backend::reference, harness::backend_under_test()}) {
    Case c = adamw_case(5, {.lr = 0.01, .step = 1}, false);
    c.operands[kM].value = c.operands[kV].value = [](int64) { return 0.0; };
    c.operands[kWeight].value = [](int64) { return 2.0; };
    c.operands[kGradient].value = [](int64 i) { return i % 2 ? -3.0 : 5.0; };
    const Tensor weight = std::move(harness::run(c, backend)[kWeight]);
    for (int64 i = 0; i < 5; ++i) EXPECT_NEAR(weight.get(i), i % 2 ? 2.01 : 1.99, 1e-6) << name_of(backend);
  }
}

/// Weight 1, gradients 1 then -2, lr 0.1, betas 0.9 and 0.95, epsilon 0.5, decay 0.5, worked by hand from the
/// formula.
TEST(AdamW, TwoStepsByHand) {
  for (Backend backend : {Backend::reference, harness::backend_under_test()}) {
    double m = 0, v = 0, weight = 1;
    for (int64 step : {1, 2}) {
      Case c = adamw_case(1, {.lr = 0.1, .epsilon = 0.5, .decay = 0.5, .step = step}, false);
      c.operands[kGradient].value = [step](int64) { return step == 1 ? 1.0 : -2.0; };
      c.operands[kM].value = [m](int64) { return m; };
      c.operands[kV].value = [v](int64) { return v; };
      c.operands[kWeight].value = [weight](int64) { return weight; };
      const auto after = harness::run(c, backend);
      m = after[kM].get(0);
      v = after[kV].get(0);
      weight = after[kWeight].get(0);
    }
    const double first = 0.95 - 0.1 * 1 / (1 + 0.5);  // both moments correct to 1
    const double second = first * 0.95 - 0.1 * (-0.11 / 0.19) / (std::sqrt(0.2475 / 0.0975) + 0.5);
    EXPECT_NEAR(weight, second, 1e-6) << name_of(backend);
  }
}

/// What decays is told apart at every bound of a range, of more ranges than one launch takes too.
TEST(AdamW, OnlyTheGivenRangesDecay) {
  constexpr int64 kN = 30'001;
  const std::vector<Range> some{{0, 3}, {3, 3}, {5, 6}, {16, 20'000}, {kN - 2, kN}};
  std::vector<Range> many;
  for (int64 begin = 1; begin + 40 < kN; begin += 61) many.push_back({begin, begin + 9 + begin % 31});
  for (const Backend backend : {harness::backend_under_test(), Backend::reference})
    for (const std::vector<Range>& decayed : {std::vector<Range>{}, some, many, {{0, kN - 1}}}) {
      AdamW op = usual_adamw(), without = usual_adamw();
      op.decayed = std::make_shared<const std::vector<Range>>(decayed);
      without.decay = 0;
      const auto actual = harness::run(adamw_case(kN, op, true), backend, 2);
      const auto all = harness::run(adamw_case(kN, usual_adamw(), true), backend, 2);
      const auto nothing = harness::run(adamw_case(kN, without, true), backend, 2);
      for (int64 i = 0; i < kN; ++i) {
        const bool decays = std::any_of(decayed.begin(), decayed.end(), [i](const Range& range) {
          return range.begin <= i && i < range.end;
        });
        for (const size_t of : {kM, kV, kWeight, kComputeWeight})
          ASSERT_EQ(actual[of].get(i), (decays ? all : nothing)[of].get(i)) << i << " " << of;
      }
    }
}

/// Each way in which operands may lie to accesses of 16 bytes, at both ends.
TEST(AdamW, OperandsMayLieAnywhere) {
  const auto expected = harness::run(adamw_case(41, usual_adamw(), true), harness::backend_under_test());
  for (int64 offset = 0; offset < 4; ++offset)
    for (const int64 other : {offset, int64{0}}) {
      Case c = adamw_case(41, usual_adamw(), true);
      for (Operand& operand : c.operands) operand.layout = {0, offset};
      c.operands[kV].layout = {0, other};
      const auto actual = harness::run(c, harness::backend_under_test());
      for (const size_t i : {kM, kV, kWeight, kComputeWeight})
        EXPECT_TRUE(expected[i].bits() == actual[i].bits()) << offset << " " << other << " " << i;
    }
}

/// Groups of parameters are updated one after another with one readback.
TEST(AdamW, OneReadbackSpeaksForSeveralUpdates) {
  for (const Backend backend : {harness::backend_under_test(), Backend::reference})
    for (const int64 bad : {-1, 0, 1, 2}) {
      Readback<bool> finite;
      finite.set(true);
      Case c = adamw_case(9, usual_adamw(), false);
      c.operands[kGradient].value = [bad](int64 i) { return bad == i / 3 ? std::nan("") : 0.5; };
      c.call = [finite](Stream& stream, const auto& v) {
        for (int64 part = 0; part < 3; ++part) {
          const Range range{3 * part, 3 * part + 3};
          AdamW op = usual_adamw();
          op.gradient = v[kGradient].slice(range);
          op.m = v[kM].slice(range);
          op.v = v[kV].slice(range);
          op.weight = v[kWeight].slice(range);
          op.finite = finite;
          adamw(stream, op);
        }
      };
      harness::run(c, backend);
      EXPECT_EQ(finite.get(), bad < 0) << name_of(backend) << " " << bad;
    }
}

TEST(AdamWDeathTest, OperandsThatDoNotFitAbort) {
  const Tensor a(DType::f32, {4}), b(DType::f32, {5});
  Stream stream(Backend::cpu);
  EXPECT_DEATH(adamw(stream, {.gradient = b, .m = a, .v = a, .weight = a, .compute_weight = {}}),
               "adamw: gradient is f32 \\(5\\)");
  const auto backwards = std::make_shared<const std::vector<Range>>(std::vector<Range>{{2, 3}, {0, 1}});
  EXPECT_DEATH(adamw(stream, {.gradient = a, .m = a, .v = a, .weight = a, .decayed = backwards}),
               "\\[0, 1\\) of 4 decays after 3");
}

}  // namespace
}  // namespace fovea
