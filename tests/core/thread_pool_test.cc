#include "core/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/stream.h"

namespace fovea {
namespace {

class Threads : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(ThreadPool, Threads, testing::Values(1, 2, 3, 8));

TEST_P(Threads, EachPartRunsOnceOnAWorkerOfThePool) {
  ThreadPool pool(GetParam());
  ASSERT_EQ(pool.threads(), GetParam());
  for (int64 parts : {0, 1, 2, 7, 1000}) {
    std::vector<int> runs(static_cast<size_t>(parts));  // parts write disjoint memory: no atomics
    std::vector<std::atomic<int>> busy(static_cast<size_t>(GetParam()));
    pool.run(parts, [&](int64 part, int worker) {
      ASSERT_GE(worker, 0);
      ASSERT_LT(worker, GetParam());
      EXPECT_EQ(busy[static_cast<size_t>(worker)]++, 0) << "a worker's scratch is its own";
      ++runs[static_cast<size_t>(part)];
      --busy[static_cast<size_t>(worker)];
    });
    EXPECT_EQ(runs, std::vector<int>(static_cast<size_t>(parts), 1));
  }
}

TEST_P(Threads, WhatOneRunWroteTheNextReads) {
  ThreadPool pool(GetParam());
  constexpr int64 kParts = 64;
  std::vector<int64> values(kParts);
  std::iota(values.begin(), values.end(), 0);
  for (int round = 0; round < 50; ++round) {
    std::vector<int64> next(kParts);
    pool.run(kParts, [&](int64 part, int) {
      next[static_cast<size_t>(part)] = values[static_cast<size_t>((part + 1) % kParts)] + 1;
    });
    values = next;
  }
  for (int64 part = 0; part < kParts; ++part)
    EXPECT_EQ(values[static_cast<size_t>(part)], (part + 50) % kParts + 50);
}

TEST_P(Threads, SumsInTheOrderOfPartsHaveTheSameBits) {
  ThreadPool pool(GetParam());
  std::vector<float> partial(100);
  pool.run(100, [&](int64 part, int) {
    float sum = 0;
    for (int64 i = 0; i < 1000; ++i) sum += 1.0f / static_cast<float>(part * 1000 + i + 1);
    partial[static_cast<size_t>(part)] = sum;
  });
  std::vector<float> serial(100);
  ThreadPool(1).run(100, [&](int64 part, int) {
    float sum = 0;
    for (int64 i = 0; i < 1000; ++i) sum += 1.0f / static_cast<float>(part * 1000 + i + 1);
    serial[static_cast<size_t>(part)] = sum;
  });
  EXPECT_EQ(partial, serial);
}

TEST(ThreadPool, SeveralThreadsReallyRunAtOnce) {
  ThreadPool pool(2);
  std::atomic<int> arrived{0};
  std::atomic<int> together{0};
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  // Each part waits for the other; on one thread the first would wait in vain.
  pool.run(2, [&](int64, int) {
    ++arrived;
    while (arrived.load() < 2 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    together += arrived.load() == 2 && std::chrono::steady_clock::now() < deadline;
  });
  EXPECT_EQ(together.load(), 2);
}

TEST(ThreadPool, TwoPoolsServeTwoCallersAtOnce) {
  std::vector<int64> sums(2);
  const auto work = [&](size_t caller) {
    ThreadPool pool(2);
    for (int round = 0; round < 20; ++round) {
      std::vector<int64> parts(50);
      pool.run(50, [&](int64 part, int) { parts[static_cast<size_t>(part)] = part; });
      sums[caller] += std::accumulate(parts.begin(), parts.end(), int64{0});
    }
  };
  std::thread other(work, size_t{1});
  work(0);
  other.join();
  EXPECT_EQ(sums, std::vector<int64>(2, 20 * 49 * 25));
}

TEST(ThreadPool, AnExceptionOfAPartReachesTheCaller) {
  for (int threads : {1, 3}) {
    ThreadPool pool(threads);
    EXPECT_THROW(pool.run(10,
                          [](int64 part, int) {
                            if (part == 5) throw std::runtime_error("part 5");
                          }),
                 std::runtime_error);
    int runs = 0;
    pool.run(1, [&](int64, int) { ++runs; });
    EXPECT_EQ(runs, 1) << "the pool is of use afterwards";
  }
}

// The thrown object is made by one thread and freed by another: what the sanitizer has to be told of.
TEST(ThreadPool, AnExceptionOfAnotherThreadReachesTheCaller) {
  ThreadPool pool(2);
  std::atomic<int> arrived = 0;
  EXPECT_THROW(pool.run(2,
                        [&](int64, int worker) {
                          ++arrived;
                          while (arrived < 2) std::this_thread::yield();
                          if (worker != 0) throw std::runtime_error("not the caller's");
                        }),
               std::runtime_error);
}

TEST(ThreadPool, StreamsRunTheirPartsOnIt) {
  Stream stream(Backend::cpu, 3);
  std::vector<int> seen(200);
  stream.enqueue({"mark", 0, 0}, [&seen](Execution& execution) {
    execution.parallel_for(200, [&](int64 part, int) { seen[static_cast<size_t>(part)] = 1; });
  });
  EXPECT_EQ(std::accumulate(seen.begin(), seen.end(), 0), 200);
}

TEST(ThreadPoolDeath, NeedsAThread) { EXPECT_DEATH(ThreadPool pool(0), "a pool of 0 threads"); }

}  // namespace
}  // namespace fovea
