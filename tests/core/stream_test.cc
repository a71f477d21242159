#include "core/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <thread>
#include <tuple>
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
  stream.reset_counters();
  EXPECT_EQ(stream.flops(), 0);
  EXPECT_EQ(stream.peak_scratch_bytes(), 0);
}

TEST(Stream, AProfileAddsUpWhatRanWhileItWasOn) {
  for (const Stream::Mode mode : {Stream::Mode::immediate, Stream::Mode::deferred}) {
    Stream stream(Backend::cpu, 1, mode);
    const auto slow = [](Execution&) { std::this_thread::sleep_for(std::chrono::milliseconds(3)); };
    stream.enqueue({"matmul", 100, 0, 10}, slow);
    stream.synchronize();
    EXPECT_TRUE(stream.operations().empty());
    stream.profile(true);
    stream.enqueue({"matmul", 100, 0, 10, DType::bf16}, slow);
    stream.enqueue({"matmul", 20, 0, 5, DType::bf16}, slow);
    stream.enqueue({"rope", 3, 0, 1}, [](Execution&) {});
    stream.synchronize();
    stream.profile(false);
    stream.enqueue({"rope", 3, 0, 1}, slow);
    stream.synchronize();
    ASSERT_EQ(stream.operations().size(), 2u);
    const OperationTotal &matmul = stream.operations().at("matmul"), &rope = stream.operations().at("rope");
    EXPECT_EQ(std::tie(matmul.calls, matmul.flops, matmul.bytes), std::tuple(2, 120.0, 15.0));
    EXPECT_EQ(matmul.dtype, DType::bf16);
    EXPECT_GE(matmul.seconds, 0.006);
    EXPECT_EQ(std::tie(rope.calls, rope.flops, rope.bytes), std::tuple(1, 3.0, 1.0));
    EXPECT_LT(rope.seconds, matmul.seconds);
  }
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
  EXPECT_EQ(backend_named("auto"), find_device().device ? Backend::cuda : Backend::cpu);
  const auto code_of = [](std::string_view name) {
    try {
      backend_named(name);
    } catch (const UserError& error) {
      return error.code();
    }
    return ExitCode::done;
  };
  EXPECT_EQ(code_of("cuda"), built_with_cuda() ? ExitCode::done : ExitCode::unavailable);
  EXPECT_EQ(code_of("cpuu"), ExitCode::usage);
}

}  // namespace
}  // namespace fovea
