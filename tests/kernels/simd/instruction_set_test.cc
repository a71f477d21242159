#include "kernels/simd/instruction_set.h"

#include <dnnl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "config/schema.h"
#include "core/error.h"
#include "instruction_sets.h"
#include "kernels/attention/attention.h"
#include "kernels/matmul/library.h"

namespace fovea {
namespace {

constexpr InstructionSet kOld[] = {InstructionSet::portable, InstructionSet::avx2};

ExitCode refusal(std::string_view name, std::string* line) {
  try {
    instruction_set_named(name, kOld);
  } catch (const UserError& error) {
    *line = error.what();
    return error.code();
  }
  return ExitCode::done;
}

TEST(InstructionSets, AreListedNarrowestFirstAndTheWidestIsInUse) {
  const auto sets = instruction_sets();
  ASSERT_FALSE(sets.empty());
  EXPECT_EQ(sets.front(), InstructionSet::portable);
  EXPECT_TRUE(std::is_sorted(sets.begin(), sets.end()));
  EXPECT_EQ(instruction_set(), sets.back());
}

TEST(InstructionSets, AreWhatTheKernelsRunOn) {
  std::set<std::string> described, wanted;
  harness::for_each_instruction_set([&] {
    const InstructionSet set = instruction_set();
    EXPECT_EQ(has_bf16_dot(), set == InstructionSet::avx512_bf16);
    wanted.insert(std::string(name_of(set)));
    described.insert(attention_backend(Backend::cpu).description());
  });
  EXPECT_EQ(described.size(), wanted.size());
  EXPECT_EQ(instruction_set(), instruction_sets().back());
}

TEST(InstructionSets, AreTheWordsOfTheConfiguration) {
  const auto key = std::find_if(config_keys().begin(), config_keys().end(),
                                [](const ConfigKey& k) { return k.path == "run.instruction_set"; });
  ASSERT_NE(key, config_keys().end());
  std::vector<std::string_view> words = {"auto"};
  for (int set = 0; set <= static_cast<int>(InstructionSet::avx512_bf16); ++set)
    words.push_back(name_of(static_cast<InstructionSet>(set)));
  EXPECT_EQ(key->words, words);
}

TEST(InstructionSets, AreFoundByName) {
  EXPECT_EQ(instruction_set_named("auto", kOld), InstructionSet::avx2);
  EXPECT_EQ(instruction_set_named("portable", kOld), InstructionSet::portable);
  std::string line;
  EXPECT_EQ(refusal("avx512", &line), ExitCode::unavailable);
  EXPECT_EQ(line, "this machine lacks the instruction set avx512: it has portable, avx2");
  EXPECT_EQ(refusal("sse9", &line), ExitCode::usage);
  EXPECT_EQ(line, "there is no instruction set sse9: it is auto, portable, avx2, avx512, avx512_bf16");
}

TEST(InstructionSetsDeathTest, OneThatIsNotThereIsNotUsed) {
  EXPECT_DEATH(use_instruction_set(static_cast<InstructionSet>(9)), "lacks the instruction set");
}

// oneDNN takes one limit per process, and none once it has computed.
TEST(MatrixLibrary, KeepsToTheFirstLimit) {
  EXPECT_TRUE(limit_matrix_library(instruction_sets().back()));
  if (instruction_sets().back() <= InstructionSet::avx2) GTEST_SKIP() << "nothing wider than avx2 is there";
  EXPECT_TRUE(limit_matrix_library(InstructionSet::avx2));
  EXPECT_EQ(dnnl_get_effective_cpu_isa(), dnnl_cpu_isa_avx2);
  EXPECT_TRUE(limit_matrix_library(InstructionSet::avx2));
  EXPECT_FALSE(limit_matrix_library(InstructionSet::portable));
}

}  // namespace
}  // namespace fovea
