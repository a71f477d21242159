#include "kernels/cuda/divisor.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace fovea::cuda {
namespace {

constexpr int kMost = 0x7fffffff;

// Where a quotient changes is where a multiplier that is a little off is found out.
void expect_exact(int d, int n) {
  const Divisor divisor(d);
  for (const int64 at : {int64{n}, int64{n} / d * d - 1, int64{n} / d * d, int64{n} / d * d + d})
    if (at >= 0 && at <= kMost) {
      RC_ASSERT(divisor.quotient(static_cast<int>(at)) == at / d);
    }
}

RC_GTEST_PROP(Divisor, DividesAsDivisionDoes, ()) {
  const int d = *rc::gen::oneOf(rc::gen::inRange(1, 200), rc::gen::inRange(1, kMost));
  expect_exact(d, *rc::gen::inRange(0, kMost));
  expect_exact(d, kMost);
  expect_exact(d, 0);
}

TEST(Divisor, OfSmallNumbersEveryOne) {
  for (int d = 1; d <= 300; ++d)
    for (int n = 0; n <= 3000; ++n) ASSERT_EQ(Divisor(d).quotient(n), n / d) << n << " / " << d;
}

TEST(Divisor, OfTheLargest) {
  for (const int d : {1, 2, 3, 1 << 30, (1 << 30) + 1, kMost - 1, kMost})
    for (const int n : {0, 1, d - 1, d, kMost - 1, kMost}) EXPECT_EQ(Divisor(d).quotient(n), n / d) << d;
}

}  // namespace
}  // namespace fovea::cuda
