#include <gtest/gtest.h>

#include "attention_harness.h"
#include "core/error.h"

namespace fovea {
namespace {

using harness::Tensor;

constexpr DType kDTypes[] = {DType::f32, DType::bf16, DType::f16};

std::string case_name(const testing::TestParamInfo<AttentionCase>& info) { return info.param.name; }

class Attention : public testing::TestWithParam<AttentionCase> {};

TEST_P(Attention, KeepsTheErrorRule) {
  for (const DType dtype : kDTypes) {
    const check::AttentionJudge judge(GetParam(), dtype);
    for (const Backend backend : harness::backends_under_test())
      harness::for_each_variant(backend, [&] {
        EXPECT_EQ(verdict(judge, backend), "") << name_of(backend) << " in " << name_of(dtype);
      });
  }
}

INSTANTIATE_TEST_SUITE_P(Small, Attention, testing::ValuesIn(small_attention_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Table, Attention, testing::ValuesIn(attention_cases()), case_name);

class AttentionBits : public testing::TestWithParam<AttentionCase> {};

TEST_P(AttentionBits, AreTheSameAtAnyNumberOfThreads) {
  if (harness::backend_under_test() == Backend::cpu)
    harness::expect_same_bits_at_any_threads(attention_call(GetParam(), DType::f64), Backend::reference);
  for (const Backend backend : harness::backends_under_test()) {
    SCOPED_TRACE(name_of(backend));
    harness::for_each_variant(backend, [&] {
      for (const DType dtype : kDTypes)
        if (const harness::Case call = attention_call(GetParam(), dtype); harness::does(call, backend))
          harness::expect_same_bits_at_any_threads(call, backend);
    });
  }
}

std::vector<AttentionCase> cases_with_many_parts() {
  std::vector<AttentionCase> cases = small_attention_cases();
  cases.push_back({.name = "many_keys_one_head",
                   .problem = attention_problem(40, 1100, 2, 1, 8, causal_mask()),
                   .sink = true});
  cases.push_back(
      {.name = "many_queries_one_head", .problem = attention_problem(700, 300, 3, 1, 8), .accumulate = true});
  cases.push_back({.name = "many_queries_and_keys_in_a_window",
                   .problem = attention_problem(600, 700, 3, 1, 8, sliding_window_mask(90)),
                   .sink = true});
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Parts, AttentionBits, testing::ValuesIn(cases_with_many_parts()), case_name);

// All gradients of the oracle against differences of its forward pass.
TEST(AttentionReference, GradientsMatchFiniteDifferences) {
  std::vector<AttentionCase> cases{
      {.name = "plain", .problem = attention_problem(4, 6, 4, 2, 3)},
      {.name = "softcap_sink", .problem = attention_problem(5, 7, 4, 2, 3, causal_mask()), .sink = true},
      {.name = "window_blind",
       .problem = attention_problem(7, 5, 2, 1, 3, {.left = 1, .right = 1}),
       .sink = true},
      {.name = "documents",
       .problem = attention_problem(6, 7, 4, 2, 3, document_mask({0, 2, 2, 6}, {0, 3, 4, 7})),
       .sink = true}};
  cases[1].problem.softcap = 1.5f;
  for (AttentionCase& c : cases) {
    SCOPED_TRACE(c.name);
    c.problem.v_dim = 2;
    const harness::Case call = attention_call(c, DType::f64);
    std::vector<Tensor> x = harness::make_operands(call, Backend::reference);
    Stream stream(Backend::reference);
    const auto loss = [&] {
      call.call(stream, harness::views_of(x));
      return harness::project(x[kOut], call.seed);
    };
    loss();
    for (const auto& [value, gradient] : {std::pair{kQ, kDq}, {kK, kDk}, {kV, kDv}, {kSink, kDsink}}) {
      if (call.operands[value].shape.empty()) continue;
      loss();
      Tensor at_rest(DType::f64, call.operands[gradient].shape);
      for (int64 i = 0; i < at_rest.elements(); ++i) at_rest.set(i, x[gradient].get(i));
      harness::expect_gradient(x[value], at_rest, loss, call.operands[gradient].name, 1e-7);
    }
  }
}

// The oracle against softmax spelled out over every pair, the mask by its definition.
TEST(AttentionReference, IsTheFormula) {
  AttentionCase c{
      .name = "", .problem = attention_problem(6, 9, 4, 2, 3, {.causal = true, .left = 3}), .sink = true};
  c.problem.softcap = 2;
  const std::vector<Tensor> x = harness::run(attention_call(c, DType::f64), Backend::reference);
  const AttentionProblem& p = c.problem;
  for (int64 h = 0; h < 4; ++h)
    for (int64 i = 0; i < 6; ++i) {
      const int64 at = i + 9 - 6;
      double sum = std::exp(load(x[kSink], {h}));
      std::vector<double> out(3);
      for (int64 j = 0; j < 9; ++j) {
        if (j > at || j < at - 3) continue;
        double s = 0;
        for (int64 d = 0; d < 3; ++d) s += load(x[kQ], {0, i, h, d}) * load(x[kK], {0, j, h / 2, d});
        const double e = std::exp(2 * std::tanh(double{p.scale} * s / 2));
        sum += e;
        for (int64 d = 0; d < 3; ++d) out[static_cast<size_t>(d)] += e * load(x[kV], {0, j, h / 2, d});
      }
      EXPECT_NEAR(load(x[kLse], {0, h, i}), std::log(sum), 1e-12);
      for (int64 d = 0; d < 3; ++d)
        EXPECT_NEAR(load(x[kOut], {0, i, h, d}), out[static_cast<size_t>(d)] / sum, 1e-12);
    }
}

// It computes in fp64 whatever it reads and writes.
TEST(AttentionReference, RoundsOnlyWhatItStores) {
  for (const AttentionCase& c : small_attention_cases()) {
    SCOPED_TRACE(c.name);
    const harness::Case call = attention_call(c, DType::f32);
    const std::vector<Tensor> wide = harness::run(call, Backend::reference),
                              narrow = harness::make_operands(call, Backend::naive);
    Stream stream(Backend::reference);
    call.call(stream, harness::views_of(narrow));
    for (const size_t place : {kOut, kLse})  // to half a unit in the last place
      harness::expect_close(narrow[place], wide[place], {.roundings = 0.5, .sums = 0, .floor = 0x1p-149},
                            call.operands[place].name);
    for (const size_t place : {kDq, kDk, kDv, kDsink})  // computed from the rounded out and lse
      harness::expect_close(narrow[place], wide[place], {.roundings = 0.5, .sums = 32},
                            call.operands[place].name);
  }
}

// Runs a case with one element of an input replaced.
std::vector<Tensor> run_with(const AttentionCase& c, size_t place, int64 element, double value,
                             const harness::Arithmetic& how) {
  const auto& [backend, dtype] = how;
  harness::Case call = attention_call(c, dtype);
  call.operands[place].value = [element, value, before = call.operands[place].value](int64 e) {
    return e == element ? value : before(e);
  };
  return harness::run(call, backend);
}

class AttentionNaN : public testing::TestWithParam<harness::Arithmetic> {
 protected:
  void SetUp() override {
    if (GetParam().backend == Backend::cudnn) GTEST_SKIP() << "cuDNN promises nothing of NaN";
  }
  static constexpr int64 kRow = 61, kKey = 40;
  const AttentionCase c_{.name = "",
                         .problem = attention_problem(100, 100, 4, 2, 8, sliding_window_mask(21))};
  static bool sees(int64 i, int64 j) { return j <= i && j > i - 21; }
  // Of gradients and values a NaN reaches whom it should. Products of tiles multiply what is hidden by 0, so
  // that it may reach others too, but no other head or column; the oracle is exact.
  void expect_reached(double x, bool hit, bool may_be) const {
    if (hit || !may_be || GetParam().backend == Backend::reference) {
      EXPECT_EQ(std::isnan(x), hit);
    }
  }
};

TEST_P(AttentionNaN, InAQueryStaysInItsRow) {
  const std::vector<Tensor> x = run_with(c_, kQ, (kRow * 4 + 3) * 8 + 5, NAN, GetParam());
  for (int64 i = 0; i < 100; ++i)
    for (int64 h = 0; h < 4; ++h) {
      const bool hit = i == kRow && h == 3;
      ASSERT_EQ(std::isnan(load(x[kLse], {0, h, i})), hit) << i << " " << h;
      for (int64 d = 0; d < 8; ++d) {
        ASSERT_EQ(std::isnan(load(x[kOut], {0, i, h, d})), hit) << i << " " << h;
        ASSERT_EQ(std::isnan(load(x[kDq], {0, i, h, d})), hit) << i << " " << h;
        expect_reached(load(x[kDk], {0, i, h / 2, d}), h / 2 == 1 && sees(kRow, i), h / 2 == 1);
        expect_reached(load(x[kDv], {0, i, h / 2, d}), h / 2 == 1 && sees(kRow, i), h / 2 == 1);
      }
    }
}

TEST_P(AttentionNaN, InAKeyReachesThoseWhoSeeIt) {
  const std::vector<Tensor> x = run_with(c_, kK, (kKey * 2 + 1) * 8 + 5, NAN, GetParam());
  for (int64 i = 0; i < 100; ++i)
    for (int64 h = 0; h < 4; ++h) {
      const bool hit = h / 2 == 1 && sees(i, kKey);
      ASSERT_EQ(std::isnan(load(x[kLse], {0, h, i})), hit) << i << " " << h;
      for (int64 d = 0; d < 8; ++d) {
        ASSERT_EQ(std::isnan(load(x[kOut], {0, i, h, d})), hit) << i << " " << h;
        expect_reached(load(x[kDq], {0, i, h, d}), hit, h / 2 == 1);
      }
    }
}

TEST_P(AttentionNaN, InAValueReachesThoseWhoSeeIt) {
  const std::vector<Tensor> x = run_with(c_, kV, (kKey * 2 + 1) * 8 + 5, NAN, GetParam());
  for (int64 i = 0; i < 100; ++i)
    for (int64 h = 0; h < 4; ++h)
      for (int64 d = 0; d < 8; ++d) {
        const bool hit = h / 2 == 1 && sees(i, kKey);
        expect_reached(load(x[kOut], {0, i, h, d}), hit && d == 5, h / 2 == 1 && d == 5);
        expect_reached(load(x[kDq], {0, i, h, d}), hit, h / 2 == 1);
      }
}

// A key that is infinitely far from every query is as good as hidden: its p and ds are 0, and so are its dk
// and dv. The number of rows is odd, so that where two make an element one of the last is not there.
TEST_P(AttentionNaN, OfAKeyAtMinusInfinityNothingIsLeft) {
  constexpr int64 kRows = 5, kKeys = 6, kFar = 3;
  const AttentionCase c{.name = "", .problem = attention_problem(kRows, kKeys, 1, 1, 8, {})};
  harness::Case call = attention_call(c, GetParam().dtype);
  call.operands[kQ].value = [](int64) { return 1.0; };
  call.operands[kK].value = [before = call.operands[kK].value](int64 e) {
    return e / 8 == kFar ? -INFINITY : before(e);
  };
  const std::vector<Tensor> x = harness::run(call, GetParam().backend);
  for (int64 d = 0; d < 8; ++d) {
    EXPECT_LT(std::abs(load(x[kDv], {0, kFar, 0, d})), 1e-300) << d;  // the oracle's exp ends there
    EXPECT_LT(std::abs(load(x[kDk], {0, kFar, 0, d})), 1e-300) << d;
  }
}

INSTANTIATE_TEST_SUITE_P(Every, AttentionNaN, testing::ValuesIn(harness::arithmetics()),
                         [](const auto& instance) { return harness::name_of(instance.param); });

// q, k and v as slices of one packed buffer, and their gradients too.
TEST(Attention, ReadsSlicesOfAPackedBuffer) {
  const AttentionCase c{.name = "", .problem = attention_problem(70, 70, 4, 2, 16, causal_mask())};
  constexpr int64 kFirst[] = {0, 4, 6}, kHeads[] = {4, 2, 2};  // heads of q, k and v within the buffer
  const auto slice = [&](const View& all, size_t n) {
    return View(all.at({0, 0, kFirst[n], 0}), all.dtype(), {1, 70, kHeads[n], 16}, {70 * 128, 128, 16, 1},
                all.device());
  };
  for (const Backend backend : harness::backends_under_test())
    for (const DType dtype : kDTypes) {
      SCOPED_TRACE(fmt::format("{} in {}", name_of(backend), name_of(dtype)));
      if (!harness::does(attention_call(c, dtype), backend)) continue;
      const std::vector<Tensor> x = harness::run(attention_call(c, dtype), backend);
      enum : size_t { kPacked, kPackedDout, kPackedOut, kPackedLse, kGradients };
      const harness::Case packed{
          .operands =
              {{"qkv",
                dtype,
                {1, 70, 8, 16},
                harness::Role::in,
                [&](int64 e) {
                  const int64 i = e / 128, head = e / 16 % 8, d = e % 16;
                  const size_t n = head < kFirst[1] ? 0 : head < kFirst[2] ? 1 : 2;
                  return load(x[kQ + n], {0, i, head - kFirst[n], d});
                }},
               {"dout", dtype, {1, 70, 4, 16}, harness::Role::in, [&](int64 e) { return x[kDout].get(e); }},
               {"out", dtype, {1, 70, 4, 16}, harness::Role::out},
               {"lse", DType::f32, {1, 4, 70}, harness::Role::out},
               {"dqkv", dtype, {1, 70, 8, 16}, harness::Role::out}},
          .call = [&](Stream& stream, const std::vector<View>& y) {
            AttentionProblem p = c.problem;
            p.dtype = dtype;
            const View q = slice(y[kPacked], 0), k = slice(y[kPacked], 1), v = slice(y[kPacked], 2);
            attention(stream, {p, q, k, v, {}, y[kPackedOut], y[kPackedLse]});
            attention_backward(stream, {p,
                                        q,
                                        k,
                                        v,
                                        {},
                                        y[kPackedOut],
                                        y[kPackedLse],
                                        y[kPackedDout],
                                        slice(y[kGradients], 0),
                                        slice(y[kGradients], 1),
                                        slice(y[kGradients], 2),
                                        {}});
          }};
      const std::vector<Tensor> y = harness::run(packed, backend);
      EXPECT_EQ(y[kPackedOut].bits(), x[kOut].bits());
      for (const size_t n : {0u, 1u, 2u}) {
        const View gradient = slice(y[kGradients], n);
        for (int64 i = 0; i < 70; ++i)
          for (int64 h = 0; h < kHeads[n]; ++h)
            for (int64 d = 0; d < 16; ++d)
              ASSERT_EQ(load(gradient, {0, i, h, d}), load(x[kDq + n], {0, i, h, d}))
                  << n << " " << i << " " << h;
      }
    }
}

// So that a backend that does nothing at all is seen.
TEST(Attention, DoesTheUsual) {
  for (const Backend backend : harness::backends_under_test())
    for (const DType dtype : {DType::bf16, DType::f16})
      EXPECT_TRUE(harness::does(attention_call(small_attention_cases()[0], dtype), backend))
          << name_of(backend);
}

TEST(Attention, SaysWhyItCannotDoAProblem) {
  const AttentionCase c{.name = "", .problem = attention_problem(4, 4, 1, 1, 8)};
  for (const Backend backend : harness::backends_under_test()) {
    const Tensor x(DType::f64, {1, 4, 1, 8}), lse(DType::f64, {1, 1, 4});
    AttentionProblem p = c.problem;
    p.dtype = DType::f64;
    Stream stream(backend);
    try {
      attention(stream, {p, x, x, x, {}, x, lse});
      FAIL();
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), ExitCode::unavailable);
      EXPECT_NE(std::string(error.what()).find(name_of(backend)), std::string::npos) << error.what();
    }
  }
}

TEST(AttentionDeathTest, RefusesOperandsOfAnotherShape) {
  const Tensor q(DType::f32, {1, 4, 2, 8}), k(DType::f32, {1, 5, 1, 8}), lse(DType::f32, {1, 2, 4});
  AttentionProblem p = attention_problem(4, 5, 2, 1, 8);
  Stream stream(Backend::cpu);
  p.q_heads = 3;
  EXPECT_DEATH(attention(stream, {p, q, k, k, {}, q, lse}), "attention: q");
  p.q_heads = 2, p.mask = document_mask({0, 3}, {0, 5});
  EXPECT_DEATH(attention(stream, {p, q, k, k, {}, q, lse}), "document");
}

TEST(Attention, CountsVisiblePairsAlone) {
  AttentionProblem p = attention_problem(4, 6, 2, 1, 8, causal_mask());  // 3 + 4 + 5 + 6 pairs
  EXPECT_EQ(visible_pairs(p), 18);
  EXPECT_EQ(attention_flops(p, Pass::forward), 2 * 18 * 2 * (8 + 8));
  EXPECT_EQ(attention_flops(p, Pass::backward), 2 * 18 * 2 * (3 * 8 + 2 * 8));
  p.mask = {};
  p.batch = 3;
  EXPECT_EQ(visible_pairs(p), 72);
}

}  // namespace
}  // namespace fovea
