#include "kernels/attention/cudnn/plan.h"

#include <gtest/gtest.h>

#include "attention/attention_harness.h"
#include "core/error.h"

namespace fovea::cudnn {
namespace {

// Devices as cuDNN describes them; those numbers that its engines look at are the devices'.
DescribedDevice described(int version, int multiprocessors, int shared_bytes, const char* name) {
  return {fmt::format(
              R"({{"maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64],
                  "regsPerBlock": 65536, "multiProcessorCount": {}, "warpSize": 32,
                  "maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": {},
                  "reservedSharedMemoryPerBlock": 1024, "oversizedSharedMemoryPerBlock": 0,
                  "maxRegistersPerSM": 65536, "maxCtasPerSM": 32, "maxThreadsPerBlock": 1024,
                  "maxThreadsPerSM": 2048, "pciDeviceId": 0, "isTccDriver": 0, "supportCoopLaunch": 1,
                  "totalGlobalMem": 85000000000, "smClockRateKHz": 1980000, "memClockRateKHz": 2619000,
                  "l2CacheSize": 52428800, "cudaDeviceId": 0, "deviceVer": {}, "driverVer": 13000,
                  "deviceName": "{}"}})",
              multiprocessors, shared_bytes, 10 * version, name),
          version};
}

class CudnnEngines : public testing::TestWithParam<int> {
 protected:
  static DescribedDevice device() {
    return GetParam() == 80   ? described(80, 108, 166912, "NVIDIA A100-SXM4-80GB")
           : GetParam() == 90 ? described(90, 132, 232448, "NVIDIA H100 80GB HBM3")
                              : described(100, 148, 232448, "NVIDIA B200");
  }
  /// cuDNN's words on both passes of a case, or nothing.
  static std::string why_not(const AttentionCase& c) {
    const harness::Case call = attention_call(c, DType::bf16);
    const std::vector<harness::Tensor> x = harness::make_operands(call, Backend::naive);
    AttentionProblem p = c.problem;
    p.dtype = DType::bf16;
    try {
      require_engine(plan_key(AttentionForward{p, x[kQ], x[kK], x[kV], {}, x[kOut], x[kLse]}), device());
      require_engine(plan_key(AttentionBackward{
                         p, x[kQ], x[kK], x[kV], {}, x[kOut], x[kLse], x[kDout], x[kDq], x[kDk], x[kDv], {}}),
                     device());
    } catch (const UserError& error) {
      return error.what();
    }
    return {};
  }
  // Engines are asked whether they can be compiled, for which libcuda and libnvrtc are opened.
  void SetUp() override {
    if (!find_library().why_not.empty()) GTEST_SKIP() << find_library().why_not;
    const std::string plain = why_not({.problem = attention_problem(128, 128, 1, 1, 64)});
    if (plain.find("PREREQUISITE") != std::string::npos || plain.find("read the device") != std::string::npos)
      GTEST_SKIP() << plain;
    ASSERT_EQ(plain, "");
  }
};

TEST_P(CudnnEngines, AreThereForWhatIsSupported) {
  int64 asked = 0;
  std::vector<AttentionCase> cases = small_attention_cases();
  for (const AttentionCase& c : attention_cases()) cases.push_back(c);
  for (const AttentionCase& c : cases) {
    AttentionProblem p = c.problem;
    p.dtype = DType::bf16;
    const Capability capability{GetParam() / 10, GetParam() % 10, find_library().version};
    if (!supports(p, capability).yes || c.sink || c.accumulate || c.gap % 8 != 0 || c.offset % 8 != 0)
      continue;
    EXPECT_EQ(why_not(c), "") << c.name;
    ++asked;
  }
  EXPECT_GT(asked, 50);
}

INSTANTIATE_TEST_SUITE_P(Device, CudnnEngines, testing::Values(80, 90, 100),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace fovea::cudnn
