#include "kernels/attention/cudnn/support.h"

#include <gtest/gtest.h>

#include "attention/attention_harness.h"
#include "core/build_info.h"
#include "core/error.h"
#include "kernels/attention/backends.h"

namespace fovea::cudnn {
namespace {

std::vector<AttentionCase> every_case() {
  std::vector<AttentionCase> cases = small_attention_cases();
  for (const AttentionCase& c : attention_cases()) cases.push_back(c);
  return cases;
}

AttentionProblem named(const std::string& name) {
  for (const AttentionCase& c : every_case())
    if (c.name == name) {
      AttentionProblem p = c.problem;
      p.dtype = DType::bf16;
      return p;
    }
  ADD_FAILURE() << "no case " << name;
  return {};
}

TEST(CudnnSupport, OfEveryCaseOfTheTable) {
  int64 supported = 0;
  for (const AttentionCase& c : every_case()) {
    SCOPED_TRACE(c.name);
    AttentionProblem p = c.problem;
    p.dtype = DType::f16;
    const Support support = supports(p, {});
    EXPECT_EQ(support.yes, support.why_not.empty());
    if (!support.yes) continue;
    ++supported;
    EXPECT_TRUE(!p.mask.documents && p.softcap == 0 && p.scale > 0);
    EXPECT_TRUE(p.qk_dim % 8 == 0 && p.v_dim % 8 == 0 && p.qk_dim <= 256 && p.v_dim <= 256);
    const Band band = band_of(p);
    const SequenceMask mask = sequence_mask(p.mask, p.q_len, p.kv_len, p.first_position());
    for (int64 i = 0; i < p.q_len; ++i) {
      const Range keys = mask.keys_of(i);
      ASSERT_GT(keys.size(), 0) << i;
      for (int64 j = 0; j < p.kv_len; ++j)
        ASSERT_EQ(band.sees(i, j, p.q_len, p.kv_len), j >= keys.begin && j < keys.end) << i << " " << j;
    }
  }
  EXPECT_GT(supported, 60);
}

TEST(CudnnSupport, TakesTheUsual) {
  for (const char* name :
       {"gqa_causal", "causal_64x128", "full_129x127", "window_16", "window_self", "head_64", "head_256",
        "value_dim_192_128", "heads_12_over_1", "window_left_only", "window_right_only", "causal_and_right",
        "q_start_7", "q_start_1000", "window_as_wide_as_numbers_go", "large_scores"})
    EXPECT_EQ(supports(named(name), {}).why_not, "") << name;
}

TEST(CudnnSupport, SaysWhyNot) {
  const std::pair<const char*, const char*> reasons[] = {
      {"documents", "documents"},   {"softcap", "softcap"},        {"blind_rows", "no key"},
      {"q_start_before", "no key"}, {"head_17", "multiples of 8"}, {"negative_scale", "scale"},
      {"scale_0", "scale"},         {"nothing_0x5", "without"},    {"nothing_5x0", "without"},
      {"no_batch", "batch"},        {"full_1x1", "single key"},    {"full_129x1", "single key"},
      {"q_start_window", "own key"}};
  for (const auto& [name, reason] : reasons) {
    const std::string why_not = supports(named(name), {}).why_not;
    EXPECT_NE(why_not.find(reason), std::string::npos) << name << ": " << why_not;
    EXPECT_EQ(why_not.find('\n'), std::string::npos);
  }
  for (const DType dtype : {DType::f32, DType::f64}) {
    AttentionProblem p = named("gqa_causal");
    p.dtype = dtype;
    EXPECT_NE(supports(p, {}).why_not.find(name_of(dtype)), std::string::npos);
  }
}

TEST(CudnnSupport, OfHeadSizesAreTheDevices) {
  const auto takes = [](int64 qk_dim, int64 v_dim, const Capability& c) {
    AttentionProblem p = named("gqa_causal");
    p.qk_dim = qk_dim, p.v_dim = v_dim;
    return supports(p, c).yes;
  };
  for (const int major : {8, 9, 10, 12}) EXPECT_TRUE(takes(128, 128, {major, 0, 92600})) << major;
  EXPECT_TRUE(takes(192, 128, {9, 0, 91800}));
  EXPECT_TRUE(takes(192, 128, {10, 0, 91800}));
  EXPECT_FALSE(takes(192, 128, {8, 0, 92600}));
  EXPECT_FALSE(takes(192, 192, {10, 0, 92600}));
  EXPECT_TRUE(takes(256, 256, {10, 0, 92300}));
  EXPECT_FALSE(takes(256, 256, {10, 0, 92200}));
  EXPECT_FALSE(takes(136, 128, {12, 0, 92600}));
}

// NVIDIA/cudnn-frontend #628, #1072: what lies behind a tile's last row must be masked.
TEST(CudnnSupport, OnlyWholeTilesGoWithoutPadding) {
  const auto ends = [](int64 q_len, int64 kv_len) {
    return ends_within_a_tile(attention_problem(q_len, kv_len, 1, 1, 64));
  };
  EXPECT_FALSE(ends(128, 1024));
  for (int64 length = 129; length < 256; ++length) {
    EXPECT_TRUE(ends(length, 128)) << length;
    EXPECT_TRUE(ends(128, length)) << length;
  }
}

class CudnnOperands : public testing::Test {
 protected:
  // Plans memory, for which no device is needed; says why it cannot be done.
  static std::string why_not(AttentionCase c, const std::function<void(std::vector<View>&)>& change = {}) {
    harness::Case call = attention_call(c, DType::bf16);
    const std::vector<harness::Tensor> x = harness::make_operands(call, Backend::naive);
    std::vector<View> views = harness::views_of(x);
    const View& lse = views[kLse];  // which has the layout of the others there
    views[kLse] = View(lse.data(), lse.dtype(), {lse.size(0), lse.size(1), lse.size(2)});
    if (change) change(views);
    Stream stream(Backend::cudnn, 1, Stream::Mode::plan);
    try {
      call.call(stream, views);
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), ExitCode::unavailable);
      EXPECT_NE(std::string(error.what()).find("cudnn"), std::string::npos) << error.what();
      return error.what();
    }
    EXPECT_GT(stream.peak_scratch_bytes(), 0);
    return {};
  }
  const AttentionCase plain_{.name = "", .problem = attention_problem(70, 90, 4, 2, 16, causal_mask())};
  void SetUp() override {
    if (find_device().device) GTEST_SKIP() << "with a device they depend on it";
  }
};

TEST_F(CudnnOperands, AreTakenWhereRowsAre16Bytes) {
  EXPECT_EQ(why_not(plain_), "");
  AttentionCase apart = plain_;
  apart.gap = 8, apart.offset = 16;
  EXPECT_EQ(why_not(apart), "");
}

TEST_F(CudnnOperands, AreRefusedWithTheReason) {
  const auto with = [&](void (*change)(AttentionCase&)) {
    AttentionCase c = plain_;
    change(c);
    return why_not(c);
  };
  EXPECT_NE(with([](AttentionCase& c) { c.sink = true; }).find("sink"), std::string::npos);
  EXPECT_NE(with([](AttentionCase& c) { c.accumulate = true; }).find("add"), std::string::npos);
  EXPECT_NE(with([](AttentionCase& c) { c.gap = 4; }).find("16 bytes"), std::string::npos);
  EXPECT_NE(with([](AttentionCase& c) { c.offset = 1; }).find("16 bytes"), std::string::npos);
  EXPECT_NE(with([](AttentionCase& c) { c.problem.softcap = 3; }).find("softcap"), std::string::npos);
}

// pytorch #134001, #138529: a gradient that is expanded, and statistics with gaps.
TEST_F(CudnnOperands, AreRefusedWhereTheyOverlapOrStatisticsHaveGaps) {
  const std::string broadcast = why_not(plain_, [](std::vector<View>& x) {
    x[kDout] = View(x[kDout].data(), DType::bf16, {1, 70, 4, 16}, {70 * 64, 0, 16, 1});
  });
  EXPECT_NE(broadcast.find("16 bytes"), std::string::npos) << broadcast;
  const std::string apart = why_not(plain_, [](std::vector<View>& x) {
    x[kLse] = View(x[kLse].data(), DType::f32, {1, 4, 70}, {4 * 72, 72, 1});
  });
  EXPECT_NE(apart.find("lse"), std::string::npos) << apart;
}

TEST(CudnnBackend, IsThereByName) {
  EXPECT_EQ(backend_named("cudnn"), Backend::cudnn);
  EXPECT_EQ(name_of(Backend::cudnn), "cudnn");
  EXPECT_EQ(device_of(Backend::cudnn), Device::cuda);
  EXPECT_EQ(attention_backend(Backend::cudnn).name(), "cudnn");
}

TEST(CudnnBackend, WithoutADeviceSaysWhatWasLookedFor) {
  if (find_device().device) GTEST_SKIP() << "there is a device";
  try {
    const Stream stream(Backend::cudnn);
    FAIL();
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::unavailable);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    EXPECT_NE(std::string(error.what()).find(find_device().why_not), std::string::npos);
  }
}

}  // namespace
}  // namespace fovea::cudnn
