// Instructions by which lanes of a warp exchange values, against the PTX ISA, chapter 9.7.13.

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <string>

#include "tests/probe.h"

namespace softgpu {
namespace {

constexpr size_t kThreads = 128;

std::vector<Words> drawn(uint64_t below) {
  std::mt19937_64 random(11);
  std::vector<Words> operands(kThreads);
  for (Words& words : operands) words = {random() % below};
  return operands;
}

/// The lanes' operands of a warp -> what a lane gets.
using WarpOracle = std::function<Words(const std::vector<uint64_t>& values, int lane)>;

void check_warp(const std::string& text, const std::vector<Form>& inputs, const std::vector<Form>& outputs,
                uint64_t below, const WarpOracle& oracle) {
  const auto operands = drawn(below);
  const auto results = run_probe({text, inputs, outputs}, operands);
  for (size_t first = 0; first < kThreads; first += 32) {
    std::vector<uint64_t> values;
    for (size_t lane = 0; lane < 32; ++lane) values.push_back(operands[first + lane][0]);
    for (size_t lane = 0; lane < 32; ++lane) {
      EXPECT_EQ(results[first + lane], oracle(values, static_cast<int>(lane)))
          << text << ", thread " << first + lane;
    }
  }
}

struct Shuffle {
  const char* mode;
  int b, c;
};
class ShuffleTest : public testing::TestWithParam<Shuffle> {};

// The manual's pseudo-code, word for word.
TEST_P(ShuffleTest, FollowsThePseudoCode) {
  const Shuffle& s = GetParam();
  const std::string mode = s.mode;
  const std::string text = "shfl.sync." + mode + ".b32 %d0|%d1, %a0, " + std::to_string(s.b) + ", " +
                           std::to_string(s.c) + ", 0xffffffff;";
  check_warp(text, {Form::b32}, {Form::b32, Form::pred}, uint64_t{1} << 32,
             [&](const std::vector<uint64_t>& values, int lane) {
               const int bval = s.b & 31, cval = s.c & 31, mask = (s.c >> 8) & 31;
               const int max_lane = (lane & mask) | (cval & ~mask);
               const int min_lane = lane & mask;
               int j = 0;
               bool valid = false;
               if (mode == "up") {
                 j = lane - bval;
                 valid = j >= max_lane;
               } else if (mode == "down") {
                 j = lane + bval;
                 valid = j <= max_lane;
               } else if (mode == "bfly") {
                 j = lane ^ bval;
                 valid = j <= max_lane;
               } else {
                 j = min_lane | (bval & ~mask);
                 valid = j <= max_lane;
               }
               if (!valid) j = lane;
               return Words{values[static_cast<size_t>(j)], static_cast<uint64_t>(valid)};
             });
}

INSTANTIATE_TEST_SUITE_P(All, ShuffleTest,
                         testing::Values(Shuffle{"up", 1, 0}, Shuffle{"up", 7, 0}, Shuffle{"up", 3, 0x1800},
                                         Shuffle{"down", 1, 0x1F}, Shuffle{"down", 16, 0x1F},
                                         Shuffle{"down", 2, 0x1C1F}, Shuffle{"bfly", 1, 0x1F},
                                         Shuffle{"bfly", 16, 0x1F}, Shuffle{"bfly", 3, 0x181F},
                                         Shuffle{"bfly", 31, 0x0F}, Shuffle{"idx", 0, 0x1F},
                                         Shuffle{"idx", 31, 0x1F}, Shuffle{"idx", 5, 0x181F},
                                         Shuffle{"idx", 40, 0x1F}, Shuffle{"idx", 20, 0x07}));

uint64_t ballot(const std::vector<uint64_t>& values) {
  uint64_t mask = 0;
  for (size_t lane = 0; lane < 32; ++lane) mask |= uint64_t{values[lane] != 0} << lane;
  return mask;
}

TEST(Vote, CountsThePredicatesOfAWarp) {
  for (const uint64_t below : {2, 1, 40}) {
    check_warp("vote.sync.ballot.b32 %d0, %a0, 0xffffffff;", {Form::pred}, {Form::b32}, below,
               [](const auto& values, int) { return Words{ballot(values)}; });
    check_warp("vote.sync.any.pred %d0, %a0, 0xffffffff;", {Form::pred}, {Form::pred}, below,
               [](const auto& values, int) { return Words{uint64_t{ballot(values) != 0}}; });
    check_warp("vote.sync.all.pred %d0, %a0, 0xffffffff;", {Form::pred}, {Form::pred}, below,
               [](const auto& values, int) { return Words{uint64_t{ballot(values) == 0xFFFFFFFF}}; });
    check_warp("vote.sync.uni.pred %d0, %a0, 0xffffffff;", {Form::pred}, {Form::pred}, below,
               [](const auto& values, int) {
                 return Words{uint64_t{ballot(values) == 0xFFFFFFFF || ballot(values) == 0}};
               });
  }
}

TEST(Vote, OfHalfAWarp) {
  // The lanes of the branch vote on their own.
  check_warp(
      "mov.u32 %d0, 0; setp.lt.u32 %p0, %lane, 16; @!%p0 bra OTHERS; vote.sync.ballot.b32 %d0, %a0, 0xffff; "
      "OTHERS: "
      "bar.warp.sync 0xffffffff;",
      {Form::pred}, {Form::b32}, 2,
      [](const auto& values, int lane) { return Words{lane < 16 ? ballot(values) & 0xFFFF : 0}; });
}

TEST(ActiveMask, IsOfTheLanesThatAreHere) {
  check_warp(
      "mov.u32 %d0, 0; setp.ge.u32 %p0, %lane, 8; @%p0 bra OTHERS; activemask.b32 %d0; OTHERS: bar.warp.sync "
      "0xffffffff;",
      {Form::b32}, {Form::b32}, 2, [](const auto&, int lane) { return Words{lane < 8 ? 0xFFU : 0U}; });
}

TEST(Match, FindsEqualLanes) {
  check_warp("match.any.sync.b32 %d0, %a0, 0xffffffff;", {Form::b32}, {Form::b32}, 5,
             [](const auto& values, int lane) {
               uint64_t mask = 0;
               for (size_t other = 0; other < 32; ++other) {
                 mask |= uint64_t{values[other] == values[static_cast<size_t>(lane)]} << other;
               }
               return Words{mask};
             });
  for (const uint64_t below : {1, 5}) {
    check_warp("match.all.sync.b32 %d0|%d1, %a0, 0xffffffff;", {Form::b32}, {Form::b32, Form::pred}, below,
               [](const auto& values, int) {
                 bool equal = true;
                 for (const uint64_t value : values) equal = equal && value == values[0];
                 return Words{equal ? 0xFFFFFFFFU : 0U, uint64_t{equal}};
               });
  }
}

template <class T>
void check_redux(const std::string& name, const std::function<T(T, T)>& combine) {
  check_warp("redux.sync." + name + " %d0, %a0, 0xffffffff;", {Form::b32}, {Form::b32}, uint64_t{1} << 32,
             [&](const std::vector<uint64_t>& values, int) {
               auto all = static_cast<T>(values[0]);
               for (size_t lane = 1; lane < 32; ++lane) all = combine(all, static_cast<T>(values[lane]));
               return Words{static_cast<uint32_t>(all)};
             });
}

TEST(Redux, CombinesAllLanes) {
  using U = uint32_t;
  using S = int32_t;
  check_redux<U>("add.u32", [](U a, U b) { return a + b; });
  check_redux<U>("min.u32", [](U a, U b) { return std::min(a, b); });
  check_redux<U>("max.u32", [](U a, U b) { return std::max(a, b); });
  check_redux<S>("min.s32", [](S a, S b) { return std::min(a, b); });
  check_redux<S>("max.s32", [](S a, S b) { return std::max(a, b); });
  check_redux<U>("and.b32", [](U a, U b) { return a & b; });
  check_redux<U>("or.b32", [](U a, U b) { return a | b; });
  check_redux<U>("xor.b32", [](U a, U b) { return a ^ b; });
}

}  // namespace
}  // namespace softgpu
