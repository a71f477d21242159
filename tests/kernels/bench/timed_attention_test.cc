#include <gtest/gtest.h>

#include <set>

#include "core/error.h"
#include "kernels/bench/attention_case.h"

namespace fovea {
namespace {

constexpr const char* kShape = "attention/forward/cpu/f32/b1_hq8_hkv2_q64_kv96_d40/";

AttentionProblem problem_with(const std::string& mask) {
  return timed_attention_named(kShape + mask).problem;
}

TEST(TimedAttention, IsWhatItsNameSays) {
  const TimedAttention c =
      timed_attention_named("attention/backward/naive/bf16/b3_hq8_hkv2_q64_kv96_d40/full");
  EXPECT_EQ(c.pass, Pass::backward);
  EXPECT_EQ(c.backend, Backend::naive);
  const AttentionProblem& p = c.problem;
  EXPECT_EQ(p.dtype, DType::bf16);
  EXPECT_EQ((std::vector<int64>{p.batch, p.q_heads, p.kv_heads, p.q_len, p.kv_len, p.qk_dim, p.v_dim}),
            (std::vector<int64>{3, 8, 2, 64, 96, 40, 40}));
  EXPECT_FLOAT_EQ(p.scale, 0.15811388f);
  EXPECT_EQ(visible_pairs(p), 3 * 64 * 96);
}

// As tests/peers/attention_torch.py counts them.
TEST(TimedAttention, MasksShowTheKeysThatPeersSee) {
  EXPECT_EQ(visible_pairs(problem_with("full")), 64 * 96);
  EXPECT_EQ(visible_pairs(problem_with("causal")), 64 * 33 + 64 * 63 / 2);
  EXPECT_EQ(visible_pairs(problem_with("causal_window5")), 64 * 5);
  EXPECT_EQ(visible_pairs(problem_with("documents2")), 2 * (32 * 17 + 32 * 31 / 2));
}

TEST(TimedAttention, OtherNamesAreRefused) {
  for (const std::string name :
       {"", "attention", "attention/forward", "attention/sideways/cpu/f32/b1_hq8_hkv2_q64_kv96_d40/full",
        "attention/forward/reference/f32/b1_hq8_hkv2_q64_kv96_d40/full",
        "attention/forward/cpu/f64/b1_hq8_hkv2_q64_kv96_d40/full",
        "attention/forward/cpu/f32/b1_hq8_hkv3_q64_kv96_d40/full",
        "attention/forward/cpu/f32/b0_hq8_hkv2_q64_kv96_d40/full",
        "attention/forward/cpu/f32/b1_hq8_hkv2_q99999999999999999999_kv96_d40/full",
        "attention/forward/cpu/f32/b1_hq8_hkv2_q64_kv96/full",
        "attention/forward/cpu/f32/b2_hq8_hkv2_q64_kv96_d40/documents2"})
    EXPECT_THROW(timed_attention_named(name), UserError) << name;
  for (const char* mask :
       {"", "fully", "full/", "causal_", "causal_window", "causal_window0", "documents", "band"})
    EXPECT_THROW(problem_with(mask), UserError) << mask;
}

TEST(TimedAttention, TheDefaultsAreCasesEachOnce) {
  std::set<std::string> seen;
  for (const std::string& name : default_attention_names()) {
    EXPECT_EQ(timed_attention_named(name).name, name);
    EXPECT_TRUE(seen.insert(name).second) << name;
  }
  EXPECT_GE(seen.size(), 48U);
}

}  // namespace
}  // namespace fovea
