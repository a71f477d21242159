// The checker's own test: each bug is named by its kind, and its correct twin runs and is right.

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "tests/seeded/seeded.h"

namespace seeded {
namespace {

std::vector<Case> all_cases() {
  std::vector<Case> all;
  for (const auto& cases :
       {shared_cases(), barrier_cases(), async_cases(), global_cases(), warp_cases(), host_cases()}) {
    all.insert(all.end(), cases.begin(), cases.end());
  }
  return all;
}

void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }

class SeededBug : public testing::TestWithParam<Case> {};

TEST_P(SeededBug, IsCaught) {
  const Case& test = GetParam();
  const std::string fault = test.fault;
  if (fault.empty()) {
    EXPECT_FALSE(test.run(true)) << "results are right in spite of the bug";
    return;
  }
  EXPECT_DEATH(test.run(true), "softgpu: fault: (" + fault + "):") << "ran to its end";
}

TEST_P(SeededBug, TwinIsClean) {
  EXPECT_TRUE(GetParam().run(false));
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

INSTANTIATE_TEST_SUITE_P(All, SeededBug, testing::ValuesIn(all_cases()),
                         [](const testing::TestParamInfo<Case>& each) {
                           return std::string(each.param.name);
                         });

}  // namespace
}  // namespace seeded
