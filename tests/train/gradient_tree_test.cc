#include "train/gradient_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <set>

#include "core/random.h"

namespace fovea {
namespace {

constexpr int64 kElements = 1000;

// Magnitudes far apart, so that no two orders of summation agree.
double gradient(int64 grain, int64 i) {
  const RandomSequence random{3, RandomUse::synthetic, static_cast<uint32>(grain)};
  const auto n = static_cast<uint64>(i);
  return static_cast<float>(random.normal(n) *
                            std::ldexp(1.0, static_cast<int>(random.bits(n + 5000)[2] % 20)));
}

// The sum of grains [begin, end): the largest power of two of them that is less than all, then the others.
template <class T>
T tree_sum(int64 begin, int64 end, int64 i) {
  const int64 n = end - begin;
  if (n == 1) return static_cast<T>(gradient(begin, i));
  const auto left = static_cast<int64>(std::bit_ceil(static_cast<uint64>(n)) / 2);
  return tree_sum<T>(begin, begin + left, i) + tree_sum<T>(begin + left, end, i);
}

const View& sum_of_grains(GradientTree& tree, Stream& stream, int64 grains,
                          std::set<const void*>* used = nullptr) {
  tree.start();
  for (int64 grain = 0; grain < grains; ++grain) {
    const View& buffer = tree.next();
    stream.synchronize();
    if (used) used->insert(buffer.data());
    for (int64 i = 0; i < kElements; ++i) store(buffer, {i}, gradient(grain, i));
    tree.carry(stream);
  }
  const View& sum = tree.finish(stream);
  stream.synchronize();
  return sum;
}

template <class T>
void expect_tree(const View& sum, int64 grains) {
  for (int64 i = 0; i < kElements; ++i)
    ASSERT_EQ(sum.data<T>()[i], tree_sum<T>(0, grains, i)) << grains << " grains, element " << i;
}

TEST(GradientTree, SumsInTheOrderOfTheTree) {
  for (int64 grains = 1; grains <= 17; ++grains)
    for (const int threads : {1, 3}) {
      Stream stream(Backend::cpu, threads);
      GradientTree tree(DType::f32, kElements, grains);
      expect_tree<float>(sum_of_grains(tree, stream, grains), grains);
    }
}

TEST(GradientTree, SumsDoublesAndOnDeferredStreams) {
  for (int64 grains = 1; grains <= 17; ++grains) {
    Stream stream(Backend::reference, 1, Stream::Mode::deferred);
    GradientTree tree(DType::f64, kElements, grains);
    expect_tree<double>(sum_of_grains(tree, stream, grains), grains);
  }
}

TEST(GradientTree, IsUsedAgainForAnyNumberOfGrainsUpToItsOwn) {
  Stream stream(Backend::cpu);
  GradientTree tree(DType::f32, kElements, 17);
  for (const int64 grains : {17, 1, 8, 11, 16, 3, 17})
    expect_tree<float>(sum_of_grains(tree, stream, grains), grains);
}

// That the tests above can fail: one after the other is another sum.
TEST(GradientTree, AnotherOrderWouldShow) {
  for (int64 grains = 4; grains <= 17; ++grains) {
    int64 different = 0;
    for (int64 i = 0; i < kElements; ++i) {
      float sum = 0;
      for (int64 grain = 0; grain < grains; ++grain) sum += static_cast<float>(gradient(grain, i));
      different += sum != tree_sum<float>(0, grains, i);
    }
    EXPECT_GT(different, kElements / 20) << grains;
  }
}

TEST(GradientTree, TakesAsManyBuffersAsItUses) {
  for (int64 grains = 1; grains <= 17; ++grains) {
    Stream stream(Backend::cpu);
    GradientTree tree(DType::f32, kElements, grains);
    std::set<const void*> used;
    sum_of_grains(tree, stream, grains, &used);
    EXPECT_EQ(GradientTree::buffers(grains), static_cast<int64>(used.size())) << grains << " grains";
  }
}

}  // namespace
}  // namespace fovea
