#include "core/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace fovea {
namespace {

TEST(Stream, AnImmediateStreamRunsAtOnce) {
  Stream stream(Backend::cpu);
  int value = 0;
  stream.enqueue({"set", 0, 0}, [&value](Execution&) { value = 1; });
  EXPECT_EQ(value, 1);
}

TEST(Stream, ADeferredStreamRunsInOrderWhenSynchronised) {
  Stream stream(Backend::cpu, 1, Stream::Mode::deferred);
  std::vector<int> order;
  for (int i = 0; i < 3; ++i)
    stream.enqueue({"append", 0, 0}, [&order, i](Execution&) { order.push_back(i); });
  EXPECT_TRUE(order.empty());
  stream.synchronize();
  EXPECT_THAT(order, testing::ElementsAre(0, 1, 2));
  stream.synchronize();
  EXPECT_EQ(order.size(), 3u);
}

TEST(Stream, APlanningStreamRunsNothingAndCounts) {
  Stream stream(Backend::cpu, 2, Stream::Mode::plan);
  bool ran = false;
  stream.enqueue({"matmul", 100, 64}, [&ran](Execution&) { ran = true; });
  stream.enqueue({"matmul", 20, 256}, [&ran](Execution&) { ran = true; });
  stream.enqueue({"rope", 3, 128}, [&ran](Execution&) { ran = true; });
  stream.synchronize();
  EXPECT_FALSE(ran);
  EXPECT_TRUE(stream.planning());
  EXPECT_EQ(stream.flops(), 123);
  EXPECT_EQ(stream.peak_scratch_bytes(), 256);
  EXPECT_THAT(stream.flops_by_operation(),
              testing::ElementsAre(testing::Pair("matmul", 120), testing::Pair("rope", 3)));
  stream.reset_counters();
  EXPECT_EQ(stream.flops(), 0);
  EXPECT_EQ(stream.peak_scratch_bytes(), 0);
  EXPECT_TRUE(stream.flops_by_operation().empty());
}

TEST(Stream, ScratchPiecesAreAlignedDisjointAndPoisoned) {
  Stream stream(Backend::cpu);
  stream.poison_scratch(true);
  const int64 bytes = scratch_size<float>(5) + scratch_size<double>(3);
  EXPECT_EQ(bytes, 128);
  for (int round = 0; round < 2; ++round)
    stream.enqueue({"scratch", 0, bytes}, [](Execution& execution) {
      float* a = execution.scratch<float>(5);
      double* b = execution.scratch<double>(3);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a) % 64, 0u);
      EXPECT_EQ(reinterpret_cast<std::byte*>(b) - reinterpret_cast<std::byte*>(a), 64);
      for (int i = 0; i < 5; ++i) EXPECT_TRUE(std::isnan(a[i]));
      for (int i = 0; i < 3; ++i) EXPECT_TRUE(std::isnan(b[i]));
      a[0] = 1;  // the next operation must not see it
    });
}

TEST(Stream, AReadbackIsReadyWhenItsStreamHasCome) {
  Stream stream(Backend::cpu, 1, Stream::Mode::deferred);
  const Readback<float> loss;
  stream.enqueue({"loss", 0, 0}, [loss](Execution&) { loss.set(2.5f); });
  EXPECT_FALSE(loss.ready());
  EXPECT_DEATH((void)loss.get(), "a readback was read before its stream had come to it");
  stream.synchronize();
  EXPECT_EQ(loss.get(), 2.5f);
}

TEST(StreamDeath, ScratchBeyondWhatWasAnnouncedIsABrokenInvariant) {
  Stream stream(Backend::cpu);
  EXPECT_DEATH(stream.enqueue({"greedy", 0, 64}, [](Execution& e) { e.scratch<float>(17); }),
               "128 bytes of scratch asked for, 64 announced");
}

TEST(Stream, BackendsByName) {
  for (Backend backend : {Backend::reference, Backend::naive, Backend::cpu})
    EXPECT_EQ(backend_named(name_of(backend)), backend);
  EXPECT_EQ(backend_named("auto"), Backend::cpu);
  const auto code_of = [](std::string_view name) {
    try {
      backend_named(name);
    } catch (const UserError& error) {
      return error.code();
    }
    return ExitCode::done;
  };
  EXPECT_EQ(code_of("cuda"), ExitCode::unavailable);
  EXPECT_EQ(code_of("cpuu"), ExitCode::usage);
}

}  // namespace
}  // namespace fovea
