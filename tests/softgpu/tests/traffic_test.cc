// Wavefronts of shared memory and sectors of global memory, counted by hand.

#include "machine/traffic.h"

#include <gtest/gtest.h>

#include <functional>

namespace softgpu {
namespace {

using Addresses = std::function<uint64_t(int lane)>;

Traffic shared(uint32_t bytes, const Addresses& of, uint32_t mask = kAllLanes) {
  uint64_t address[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) address[lane] = of(lane);
  BankCounter banks;
  Traffic traffic;
  banks.add(traffic, mask, address, bytes);
  Traffic again;
  banks.add(again, mask, address, bytes);
  EXPECT_EQ(traffic.actual, again.actual) << "it remembers nothing";
  return traffic;
}
Traffic global(uint32_t bytes, const Addresses& of, uint32_t mask = kAllLanes) {
  uint64_t address[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) address[lane] = of(lane);
  Traffic traffic;
  count_global(traffic, mask, address, bytes);
  return traffic;
}

void expect(const Traffic& traffic, uint64_t actual, uint64_t ideal) {
  EXPECT_EQ(traffic.actual, actual);
  EXPECT_EQ(traffic.ideal, ideal);
}

TEST(SharedTraffic, WordsOfOneRow) {
  expect(shared(4, [](int l) { return 4 * l; }), 1, 1);
}
TEST(SharedTraffic, BytesOfAWordGoTogether) {
  expect(shared(1, [](int l) { return l; }), 1, 1);
}
TEST(SharedTraffic, HalvesOfWords) {
  expect(shared(2, [](int l) { return 2 * l; }), 1, 1);
}
TEST(SharedTraffic, OneWordForAll) {
  expect(shared(4, [](int) { return 64; }), 1, 1);
}
TEST(SharedTraffic, StrideOfTwoWords) {
  expect(shared(4, [](int l) { return 8 * l; }), 2, 1);
}
TEST(SharedTraffic, AColumnOfARowOf32Words) {
  expect(shared(4, [](int l) { return 128 * l; }), 32, 1);
}
TEST(SharedTraffic, APaddedColumn) {
  expect(shared(4, [](int l) { return 132 * l; }), 1, 1);
}
TEST(SharedTraffic, VectorsOf16Bytes) {
  expect(shared(16, [](int l) { return 16 * l; }), 4, 4);
}
TEST(SharedTraffic, VectorsOf8Bytes) {
  expect(shared(8, [](int l) { return 8 * l; }), 2, 2);
}
TEST(SharedTraffic, OneVectorForAll) {
  expect(shared(16, [](int) { return 0; }), 1, 1);
}
TEST(SharedTraffic, RowsOf128BytesWithoutASwizzle) {
  expect(shared(16, [](int l) { return 128 * (l % 8) + 16 * (l / 8); }), 32, 4);
}
TEST(SharedTraffic, RowsOf128BytesSwizzled) {
  expect(shared(16, [](int l) { return 128 * (l % 8) + 16 * ((l / 8) ^ (l % 8)); }), 4, 4);
}
TEST(SharedTraffic, SomeLanes) {
  expect(shared(
             16, [](int l) { return 16 * l; }, 0x000000FF),
         1, 1);
}

TEST(GlobalTraffic, ARow) {
  expect(global(4, [](int l) { return 4096 + 4 * l; }), 4, 4);
}
TEST(GlobalTraffic, ARowThatBeginsInASector) {
  expect(global(4, [](int l) { return 4100 + 4 * l; }), 5, 4);
}
TEST(GlobalTraffic, ARowOfVectors) {
  expect(global(16, [](int l) { return 16 * l; }), 16, 16);
}
TEST(GlobalTraffic, AColumn) {
  expect(global(4, [](int l) { return 1024 * l; }), 32, 4);
}
TEST(GlobalTraffic, BackwardsIsARowToo) {
  expect(global(4, [](int l) { return 4 * (31 - l); }), 4, 4);
}
TEST(GlobalTraffic, OneWordForAll) {
  expect(global(4, [](int) { return 32; }), 1, 1);
}
TEST(GlobalTraffic, SomeLanes) {
  expect(global(
             2, [](int l) { return 2 * l; }, 0xFFFF),
         1, 1);
}

}  // namespace
}  // namespace softgpu
