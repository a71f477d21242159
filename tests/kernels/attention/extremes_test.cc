#include <gtest/gtest.h>

#include "attention_harness.h"

namespace fovea {
namespace {

using harness::Tensor;

harness::Case constant_call(const AttentionCase& c, DType dtype, double q, double k) {
  harness::Case call = attention_call(c, dtype);
  call.operands[kQ].value = [q](int64) { return q; };
  call.operands[kK].value = [k](int64) { return k; };
  return call;
}

// Scores so large that their spacing is far above 1, and all equal: what is subtracted from one must be
// rounded as it is itself (PyTorch #121558).
TEST(AttentionExtremes, EqualHugeScoresShareTheirRow) {
  const AttentionCase c{.name = "", .problem = attention_problem(70, 200, 2, 1, 64)};
  for (const Backend backend : harness::backends_under_test()) {
    if (backend != Backend::cuda) continue;  // the CPU's kernels are not made for them
    const harness::Case call = constant_call(c, DType::bf16, 133120, 133120);
    const std::vector<Tensor> x = harness::run(call, backend),
                              expected = harness::run(call, Backend::reference);
    for (int64 e = 0; e < x[kLse].elements(); ++e)
      ASSERT_NEAR(x[kLse].get(e) / expected[kLse].get(e), 1, 1e-5) << e;
    for (int64 e = 0; e < x[kOut].elements(); ++e)
      ASSERT_NEAR(x[kOut].get(e), expected[kOut].get(e), 0x1p-8) << e;
  }
}

// Scores of about -120: exp(0 - lse) of a padded row or key would overflow, and then meet a zero (PyTorch
// #196678, cudnn-frontend #1072).
TEST(AttentionExtremes, LowScoresStayFinite) {
  for (const int64 q_len : {1, 64, 100, 129})
    for (const Backend backend : harness::backends_under_test())
      for (const DType dtype : {DType::f32, DType::bf16}) {
        SCOPED_TRACE(fmt::format("{} rows, {} in {}", q_len, name_of(backend), name_of(dtype)));
        AttentionCase c{.name = "", .problem = attention_problem(q_len, 150, 2, 1, 64, causal_mask())};
        c.problem.scale = 1;
        const harness::Case call = constant_call(c, dtype, -1.5, 1.25);
        if (!harness::does(call, backend)) continue;
        const std::vector<Tensor> x = harness::run(call, backend),
                                  expected = harness::run(call, Backend::reference);
        for (const size_t place : {kOut, kDv}) {
          double most = 0;
          for (int64 e = 0; e < x[place].elements(); ++e)
            most = std::max(most, std::abs(expected[place].get(e)));
          for (int64 e = 0; e < x[place].elements(); ++e)
            ASSERT_NEAR(x[place].get(e), expected[place].get(e), most * 0x1p-6) << place << " " << e;
        }
        for (const size_t place : {kDq, kDk})
          for (int64 e = 0; e < x[place].elements(); ++e)
            ASSERT_TRUE(std::isfinite(x[place].get(e))) << place << " " << e;
      }
}

}  // namespace
}  // namespace fovea
