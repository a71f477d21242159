// What counts as order between blocks of one launch, and within a block on global memory: a lock step by
// step, and with each step left out.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/probe.h"

namespace softgpu {
namespace {

const std::string kRegisters = R"(
  .reg .b32 %r<10>; .reg .b64 %q<10>; .reg .pred %p<4>;
  ld.param.u64 %q0, [data]; ld.param.u64 %q1, [flag];
  mov.u32 %r0, %ctaid.x; mov.u32 %r1, %tid.x; setp.eq.u32 %p0, %r1, 0;
)";

// Two blocks of 64 threads, or as many as said; `data` and `flag` are words that hold 0.
std::string fault_of(const std::string& body, uint32_t blocks = 2) {
  GlobalMemory memory(1 << 20);
  ModuleRun run{module_text(".visible .entry probe(.param .u64 data, .param .u64 flag) {" + kRegisters +
                            body + "\n ret; }"),
                "probe",
                {blocks, 1, 1}};
  const std::vector<uint32_t> zeros(256);
  run.parameters = {upload(memory, zeros), upload(memory, zeros)};
  try {
    run_module(run, memory);
  } catch (const Fault& fault) {
    return fault.what();
  }
  return "";
}

// Block 0 writes data and raises the flag; block 1 waits for it and reads.
std::string passed_on(const std::string& release, const std::string& wait, const std::string& acquire) {
  return fault_of(
      "setp.ne.u32 %p1, %r0, 0; @%p1 bra READER;\n"
      "@%p0 st.global.u32 [%q0], 7;\n" +
      release + "\n bra DONE;\nREADER:\n" + wait + "\n" + acquire + "\n ld.global.u32 %r4, [%q0];\nDONE:");
}
const std::string kStore = "@%p0 st.relaxed.gpu.global.u32 [%q1], 1;";
const std::string kPoll =
    "POLL: ld.relaxed.gpu.global.u32 %r3, [%q1]; setp.eq.u32 %p2, %r3, 0; @%p2 bra POLL;";
const std::string kFence = "fence.acq_rel.gpu;";

TEST(OrderOfBlocks, AFlagBetweenFences) { EXPECT_EQ(passed_on(kFence + kStore, kPoll, kFence), ""); }
TEST(OrderOfBlocks, AReleaseAndAnAcquire) {
  EXPECT_EQ(
      passed_on("@%p0 st.release.gpu.global.u32 [%q1], 1;",
                "POLL: ld.acquire.gpu.global.u32 %r3, [%q1]; setp.eq.u32 %p2, %r3, 0; @%p2 bra POLL;", ""),
      "");
}
TEST(OrderOfBlocks, AnAtomicBetweenFences) {
  EXPECT_EQ(passed_on(kFence + "@%p0 atom.global.add.u32 %r3, [%q1], 1;", kPoll, "membar.gl;"), "");
}
TEST(OrderOfBlocks, WithoutTheWritersFence) {
  EXPECT_THAT(passed_on(kStore, kPoll, kFence), testing::HasSubstr("warp 0 of block 0 wrote it"));
}
TEST(OrderOfBlocks, WithoutTheReadersFence) {
  EXPECT_THAT(passed_on(kFence + kStore, kPoll, ""), testing::StartsWith("race"));
}
TEST(OrderOfBlocks, AFenceOfTheBlockIsTooNarrow) {
  EXPECT_THAT(passed_on("fence.acq_rel.cta;" + kStore, kPoll, kFence), testing::StartsWith("race"));
}
TEST(OrderOfBlocks, WithoutReadingTheFlag) {
  EXPECT_THAT(passed_on(kFence + kStore, "", kFence), testing::StartsWith("race"));
}
TEST(OrderOfBlocks, AWriteAfterTheReleaseIsNotCovered) {
  EXPECT_THAT(passed_on(kFence + kStore + "@%p0 st.global.u32 [%q0], 8;", kPoll, kFence),
              testing::StartsWith("race"));
}
TEST(OrderOfBlocks, OthersOfTheBlockAreCoveredThroughABarrier) {
  // Warp 1 writes, warp 0 releases; in the other block warp 0 acquires, warp 1 reads.
  const std::string write = "setp.eq.u32 %p3, %r1, 40; @%p3 st.global.u32 [%q0+4], 9; bar.sync 0;";
  const std::string wait = "setp.ge.u32 %p3, %r1, 32; @%p3 bra MEET;" + kPoll + kFence +
                           "MEET: bar.sync 0; ld.global.u32 %r5, [%q0+4];";
  EXPECT_EQ(passed_on(write + kFence + kStore, wait, ""), "");
  const std::string no_barrier = "setp.eq.u32 %p3, %r1, 40; @%p3 st.global.u32 [%q0+4], 9;";
  EXPECT_THAT(passed_on(no_barrier + kFence + kStore, wait, ""), testing::StartsWith("race"));
}
TEST(OrderOfBlocks, IsPassedOnFromBlockToBlock) {
  // Each block waits for its turn, adds to data and lets the next one go: block 2 is after block 0 through
  // block 1.
  const std::string turn =
      "POLL: ld.relaxed.gpu.global.u32 %r3, [%q1]; setp.ne.u32 %p2, %r3, %r0; @%p2 bra POLL;" + kFence;
  const std::string first =
      "setp.eq.u32 %p3, %r0, 0; and.pred %p3, %p3, %p0; @%p3 st.global.u32 [%q0], 5; "
      "setp.eq.u32 %p3, %r0, 2; @%p3 ld.global.u32 %r4, [%q0];";
  const std::string next = "add.u32 %r5, %r0, 1; bar.sync 0; @%p0 st.release.gpu.global.u32 [%q1], %r5;";
  EXPECT_EQ(fault_of(turn + first + next, 3), "");
}
TEST(OrderOfBlocks, AtomicsDoNotRace) { EXPECT_EQ(fault_of("red.global.add.u32 [%q0], 1;", 3), ""); }
TEST(OrderOfBlocks, AnAtomicAndAPlainWriteDo) {
  EXPECT_THAT(fault_of("setp.eq.u32 %p1, %r0, 0; and.pred %p1, %p1, %p0; @%p1 st.global.u32 [%q0], 1;\n"
                       "setp.eq.u32 %p1, %r0, 1; @%p1 red.global.add.u32 [%q0], 1;"),
              testing::StartsWith("race"));
}
TEST(OrderOfBlocks, AWriteOfWhatAnotherReadIsARace) {
  EXPECT_THAT(fault_of("setp.eq.u32 %p1, %r0, 0; @%p1 ld.global.u32 %r4, [%q0];\n"
                       "setp.eq.u32 %p1, %r0, 1; and.pred %p1, %p1, %p0; @%p1 st.global.u32 [%q0], 1;"),
              testing::HasSubstr("block 0 read it"));
}
TEST(OrderInABlock, GlobalMemoryWantsABarrierToo) {
  const std::string write = "mul.wide.u32 %q2, %r1, 4; add.u64 %q2, %q2, %q0; st.global.u32 [%q2], %r1;";
  const std::string read =
      "xor.b32 %r4, %r1, 32; mul.wide.u32 %q3, %r4, 4; add.u64 %q3, %q3, %q0; ld.global.u32 %r5, [%q3];";
  EXPECT_EQ(fault_of(write + "bar.sync 0;" + read, 1), "");
  EXPECT_THAT(fault_of(write + read, 1), testing::HasSubstr("warp 0 of this block"));
}
TEST(OrderInABlock, VotesOfABarrier) {
  const std::string all =
      "setp.lt.u32 %p1, %r1, 3; bar.red.popc.u32 %r4, 0, %p1; setp.ne.u32 %p2, %r4, 3; @%p2 trap;"
      "bar.red.or.pred %p2, 0, %p1; @!%p2 trap; bar.red.and.pred %p2, 0, %p1; @%p2 trap;";
  EXPECT_EQ(fault_of(all, 1), "");
}

}  // namespace
}  // namespace softgpu
