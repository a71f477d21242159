// Loads, stores, atomics, copies and control flow, against the PTX ISA, chapters 9.7.9 and 9.7.12.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>

#include "tests/numbers.h"
#include "tests/probe.h"

namespace softgpu {
namespace {

std::vector<Words> numbered(size_t inputs) {
  std::vector<Words> operands(64);
  for (size_t i = 0; i < operands.size(); ++i) {
    for (size_t j = 0; j < inputs; ++j) operands[i].push_back(0x0123456789ABCDEF * (i + 1) + j * 0x1111);
  }
  return operands;
}

// A byte or half that is loaded is extended to its register by its type.
TEST(Memory, NarrowLoadsExtend) {
  const std::string text =
      "mad.lo.u32 %r1, %thread, 16, 0; mov.u32 %r0, pool; add.u32 %r1, %r1, %r0; st.shared.b64 [%r1], %a0;"
      "ld.shared.u8 %d0, [%r1+3]; ld.shared.s8 %d1, [%r1+3]; ld.shared.u16 %d2, [%r1+2]; ld.shared.s16 %d3, "
      "[%r1+2];";
  const auto operands = numbered(1);
  const auto results = run_probe({text, {Form::b64}, std::vector<Form>(4, Form::b32)}, operands);
  for (size_t i = 0; i < operands.size(); ++i) {
    const auto byte = static_cast<uint8_t>(operands[i][0] >> 24);
    const auto half = static_cast<uint16_t>(operands[i][0] >> 16);
    EXPECT_EQ(results[i], (Words{byte, static_cast<uint32_t>(static_cast<int8_t>(byte)), half,
                                 static_cast<uint32_t>(static_cast<int16_t>(half))}));
  }
}

TEST(Memory, VectorsAreInOrder) {
  const std::string text =
      "mov.u32 %r0, pool; mad.lo.u32 %r1, %thread, 16, %r0; st.shared.v4.b32 [%r1], {%a0, %a1, %a2, %a3};"
      "ld.shared.v2.b32 {%d2, %d3}, [%r1]; ld.shared.v2.b32 {%d0, %d1}, [%r1+8];";
  const auto operands = numbered(4);
  const auto results =
      run_probe({text, std::vector<Form>(4, Form::b32), std::vector<Form>(4, Form::b32)}, operands);
  for (size_t i = 0; i < operands.size(); ++i) {
    Words expected;
    for (const size_t j : {2, 3, 0, 1}) expected.push_back(operands[i][j] & 0xFFFFFFFF);
    EXPECT_EQ(results[i], expected);
  }
}

TEST(Memory, GenericAddressesKnowTheirSpace) {
  const std::string text =
      "mov.u64 %q0, pool; cvta.shared.u64 %q1, %q0; mul.wide.u32 %q2, %thread, 8; add.u64 %q1, %q1, %q2; "
      "st.b64 [%q1], %a0;"
      "cvta.to.shared.u64 %q3, %q1; ld.shared.b64 %d0, [%q3]; isspacep.shared %d1, %q1; isspacep.global %d2, "
      "%q1;"
      "isspacep.global %d3, %in;";
  const auto operands = numbered(1);
  const auto results =
      run_probe({text, {Form::b64}, {Form::b64, Form::pred, Form::pred, Form::pred}}, operands);
  for (size_t i = 0; i < operands.size(); ++i) EXPECT_EQ(results[i], (Words{operands[i][0], 1, 0, 1}));
}

TEST(Memory, LocalMemoryIsAThreadsOwn) {
  const std::string text =
      "{ .local .align 8 .b8 own[64]; mov.u64 %q0, own; and.b32 %r0, %thread, 7; mul.wide.u32 %q1, %r0, 8; "
      "add.u64 %q1, %q1, "
      "%q0; st.local.b64 [%q1], %a0; bar.sync 0; ld.local.b64 %d0, [%q1]; }";
  const auto operands = numbered(1);
  const auto results = run_probe({text, {Form::b64}, {Form::b64}}, operands);
  for (size_t i = 0; i < operands.size(); ++i) EXPECT_EQ(results[i], operands[i]);
}

// 64 threads on one word of shared memory: each gets what was there before it, in some order.
void check_atomic(const std::string& operation, uint64_t start, const std::function<uint64_t(uint64_t)>& step,
                  const std::string& operand, Form form) {
  const std::string width = form == Form::b64 ? "64" : "32";
  const std::string text =
      "{ .reg .b64 %s; mov.u64 %s, " + std::to_string(start) +
      "; mov.u32 %r0, pool; setp.eq.u32 %p0, %thread, 0; @%p0 st.shared.b64 [%r0], %s; bar.sync 0; "
      "atom.shared." +
      operation + " %d0, [%r0], " + operand + "; bar.sync 0; ld.shared.b" + width + " %d1, [%r0]; }";
  const auto results = run_probe({text, {form}, {form, form}}, std::vector<Words>(64, {3}));
  std::vector<uint64_t> olds, expected;
  uint64_t value = start;
  for (const Words& result : results) {
    olds.push_back(result[0]);
    expected.push_back(value);
    value = step(value);
  }
  std::sort(olds.begin(), olds.end());
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(olds, expected) << operation;
  EXPECT_EQ(results[0][1], value) << operation;
}

TEST(Atomic, EachThreadSeesItsTurn) {
  check_atomic(
      "add.u32", 5, [](uint64_t v) { return v + 3; }, "%a0", Form::b32);
  check_atomic(
      "add.u64", 5, [](uint64_t v) { return v + 3; }, "%a0", Form::b64);
  check_atomic(
      "max.u32", 1, [](uint64_t v) { return std::max<uint64_t>(v, 3); }, "%a0", Form::b32);
  check_atomic(
      "min.s32", 9, [](uint64_t v) { return std::min<uint64_t>(v, 3); }, "%a0", Form::b32);
  check_atomic(
      "exch.b32", 9, [](uint64_t) { return 3; }, "%a0", Form::b32);
  // inc: back to 0 past the operand.
  check_atomic(
      "inc.u32", 0, [](uint64_t v) { return v >= 3 ? 0 : v + 1; }, "%a0", Form::b32);
  check_atomic(
      "cas.b32", 9, [](uint64_t v) { return v == 9 ? 3 : v; }, "9, %a0", Form::b32);
  check_atomic(
      "or.b32", 8, [](uint64_t v) { return v | 3; }, "%a0", Form::b32);
  check_atomic(
      "and.b32", 10, [](uint64_t v) { return v & 3; }, "%a0", Form::b32);
}

TEST(Atomic, FloatSumsAreExactHere) {
  const std::string text =
      "mov.u32 %r0, pool; setp.eq.u32 %p0, %thread, 0; @%p0 st.shared.b32 [%r0], 0; bar.sync 0; "
      "atom.shared.add.f32 %r1, [%r0], %a0; bar.sync 0; ld.shared.b32 %d0, [%r0];";
  std::vector<Words> operands;
  double sum = 0;
  for (int i = 0; i < 64; ++i) {
    operands.push_back({from_float(static_cast<float>(i))});
    sum += i;
  }
  for (const Words& result : run_probe({text, {Form::b32}, {Form::b32}}, operands)) {
    EXPECT_EQ(to_float(result[0]), sum);
  }
}

// What a copy does not take from memory it fills with zeros.
TEST(AsyncCopy, FillsUpWithZeros) {
  for (const int bytes : {4, 8, 16}) {
    const std::string size = std::to_string(bytes);
    const std::string text =
        "mov.u32 %r0, pool; mad.lo.u32 %r1, %thread, 16, %r0; st.shared.v4.b32 [%r1], {7, 7, 7, 7}; and.b32 "
        "%r2, %thread, 31; "
        "min.u32 %r2, %r2, " +
        size + "; cp.async." + (bytes == 16 ? "cg" : "ca") + ".shared.global [%r1], [%in], " + size +
        ", %r2; cp.async.commit_group; cp.async.wait_group 0; ld.shared.v2.b64 {%d0, %d1}, [%r1];";
    const auto operands = numbered(2);
    const auto results = run_probe({text, {Form::b64, Form::b64}, {Form::b64, Form::b64}}, operands);
    for (size_t i = 0; i < operands.size(); ++i) {
      unsigned char expected[16];
      for (size_t j = 0; j < 16; j += 4) {
        const uint32_t seven = 7;
        std::memcpy(expected + j, &seven, 4);
      }
      std::memset(expected, 0, static_cast<size_t>(bytes));
      const uint64_t source[2] = {operands[i][0], operands[i][1]};
      std::memcpy(expected, source, std::min<size_t>(i % 32, static_cast<size_t>(bytes)));
      Words words(2);
      std::memcpy(words.data(), expected, 16);
      EXPECT_EQ(results[i], words) << bytes << " bytes, thread " << i;
    }
  }
}

TEST(AsyncCopy, GroupsArriveInTheirOrder) {
  // Of two groups the first has arrived when one may be missing.
  const std::string text =
      "mov.u32 %r0, pool; mad.lo.u32 %r1, %thread, 16, %r0; cp.async.ca.shared.global [%r1], [%in], 8; "
      "cp.async.commit_group; "
      "add.s64 %q0, %in, 8; cp.async.ca.shared.global [%r1+8], [%q0], 8; cp.async.commit_group; "
      "cp.async.wait_group 1; "
      "ld.shared.b64 %d0, [%r1]; cp.async.wait_all; ld.shared.b64 %d1, [%r1+8];";
  const auto operands = numbered(2);
  const auto results = run_probe({text, {Form::b64, Form::b64}, {Form::b64, Form::b64}}, operands);
  for (size_t i = 0; i < operands.size(); ++i) EXPECT_EQ(results[i], operands[i]);
}

TEST(Control, LanesComeTogetherAfterLoops) {
  // Each lane makes its own number of rounds, then all exchange.
  const std::string text =
      "mov.u32 %r0, 0; mov.u32 %r1, 0; LOOP: setp.ge.u32 %p0, %r0, %a0; @%p0 bra DONE; add.u32 %r1, %r1, "
      "%r0; add.u32 %r0, "
      "%r0, 1; bra LOOP; DONE: shfl.sync.bfly.b32 %d0, %r1, 1, 31, 0xffffffff;";
  std::vector<Words> operands;
  for (uint64_t i = 0; i < 64; ++i) operands.push_back({i * 7 % 19});
  const auto results = run_probe({text, {Form::b32}, {Form::b32}}, operands);
  for (size_t i = 0; i < operands.size(); ++i) {
    const uint64_t rounds = operands[i ^ 1][0];
    EXPECT_EQ(results[i][0], rounds == 0 ? 0 : rounds * (rounds - 1) / 2);
  }
}

TEST(Control, BranchesByIndex) {
  const std::string text =
      "TABLE: .branchtargets ZERO, ONE, TWO; rem.u32 %r0, %a0, 3; brx.idx %r0, TABLE; ZERO: mov.u32 %d0, "
      "100; bra.uni END; "
      "ONE: mov.u32 %d0, 101; bra.uni END; TWO: mov.u32 %d0, 102; END: bar.sync 0;";
  const auto operands = numbered(1);
  const auto results = run_probe({text, {Form::b32}, {Form::b32}}, operands);
  for (size_t i = 0; i < operands.size(); ++i) {
    EXPECT_EQ(results[i][0], 100 + (operands[i][0] & 0xFFFFFFFF) % 3);
  }
}

TEST(Special, RegistersSayWhereAThreadIs) {
  GlobalMemory memory(1 << 20);
  const auto out = upload(memory, std::vector<uint32_t>(24 * 12, 0));
  const std::string body = R"(.visible .entry probe(.param .u64 out)
{
  .reg .b32 %r<20>;
  .reg .b64 %q<4>;
  ld.param.u64 %q0, [out];
  mov.u32 %r0, %tid.x; mov.u32 %r1, %tid.y; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ctaid.y; mov.u32 %r4, %ntid.x;
  mov.u32 %r5, %ntid.y; mov.u32 %r6, %nctaid.x; mov.u32 %r7, %nctaid.y; mov.u32 %r8, %laneid; mov.u32 %r9, %ntid.z;
  mad.lo.u32 %r10, %r1, %r4, %r0;
  mad.lo.u32 %r11, %r3, %r6, %r2;
  mad.lo.u32 %r12, %r11, 6, %r10;
  mul.wide.u32 %q1, %r12, 48;
  add.s64 %q1, %q1, %q0;
  st.global.v4.u32 [%q1], {%r0, %r1, %r2, %r3};
  st.global.v4.u32 [%q1+16], {%r4, %r5, %r6, %r7};
  st.global.v2.u32 [%q1+32], {%r8, %r9};
  ret;
}
)";
  run_module({module_text(body), "probe", {2, 2, 1}, {3, 2, 1}, 0, {out}}, memory);
  const auto got = download<uint32_t>(memory, out, 24 * 12);
  for (uint32_t block = 0; block < 4; ++block) {
    for (uint32_t thread = 0; thread < 6; ++thread) {
      const auto* const words = got.data() + (block * 6 + thread) * 12;
      EXPECT_EQ(std::vector<uint32_t>(words, words + 10),
                (std::vector<uint32_t>{thread % 3, thread / 3, block % 2, block / 2, 3, 2, 2, 2, thread, 1}));
    }
  }
}

}  // namespace
}  // namespace softgpu
