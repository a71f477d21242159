// The checker's own test: each bug is named by its kind, and its correct twin runs and is right.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "tests/seeded/seeded.h"

namespace seeded {

/// For GoogleTest.
void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }

namespace {

std::vector<Case> all_cases() {
  std::vector<Case> all;
  for (const auto& cases :
       {shared_cases(), barrier_cases(), async_cases(), global_cases(), warp_cases(), host_cases()}) {
    all.insert(all.end(), cases.begin(), cases.end());
  }
  return all;
}

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

/// What a process counted that ran the kernel, with its bug or without.
nlohmann::json counters_of_swizzle(bool bug) {
  const std::string path = testing::TempDir() + "softgpu_counters_" + std::to_string(getpid()) + ".json";
  EXPECT_EXIT(
      {
        setenv("SOFTGPU_COUNTERS", path.c_str(), 1);
        std::exit(run_swizzle(bug) ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
  std::ifstream file(path);
  const auto counters = nlohmann::json::parse(file);
  std::remove(path.c_str());
  for (const auto& [kernel, values] : counters.items()) {
    if (kernel.find("tile_through_shared_memory") != std::string::npos) return values;
  }
  return {};
}

TEST(SeededConflict, ShowsInWavefronts) {
  // 16 loads of four matrices: 512 bytes each, 4 wavefronts at best; eight rows in one bank take eight times
  // as many.
  const auto right = counters_of_swizzle(false).at("shared_loads");
  EXPECT_EQ(right.at("ideal"), 64);
  EXPECT_EQ(right.at("actual"), 64);
  const auto wrong = counters_of_swizzle(true).at("shared_loads");
  EXPECT_EQ(wrong.at("ideal"), 64);
  EXPECT_EQ(wrong.at("actual"), 512);
}

}  // namespace
}  // namespace seeded
