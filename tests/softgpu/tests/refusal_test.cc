// What the machine does not know it refuses by name, and never runs as something else.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>

#include "tests/probe.h"

namespace softgpu {
namespace {

std::string refusal_of(const std::string& instruction) {
  const std::string body =
      ".visible .entry probe()\n{\n  .reg .b32 %r<8>;\n  .reg .b16 %h<4>;\n  .reg .b64 %q<4>;\n  .reg .pred "
      "%p<4>;\n  ret;\n  " +
      instruction + "\n}\n";
  GlobalMemory memory(1 << 20);
  try {
    run_module({module_text(body), "probe", {}, {32, 1, 1}}, memory);
  } catch (const Fault& fault) {
    return fault.what();
  }
  return "it ran";
}

class Refusal : public testing::TestWithParam<const char*> {};

// The kernel returns before it: it is refused for what it says, not for what it did.
TEST_P(Refusal, NamesTheOpcodeWithItsModifiers) {
  const std::string instruction = GetParam();
  const std::string opcode = instruction.substr(0, instruction.find_first_of(" ;"));
  EXPECT_THAT(refusal_of(instruction),
              testing::AllOf(testing::StartsWith("unsupported: "), testing::HasSubstr(opcode),
                             testing::HasSubstr("probe")));
}

struct OpcodeName {
  std::string operator()(const testing::TestParamInfo<const char*>& info) const {
    std::string name = info.param;
    name = name.substr(0, name.find_first_of(" ;"));
    for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
    return name;
  }
};

INSTANTIATE_TEST_SUITE_P(
    All, Refusal,
    testing::Values(
        "frobnicate.u32 %r0, %r1;", "add.relu.u32 %r0, %r1, %r2;", "add.sat.u32 %r0, %r1, %r2;",
        "fma.rn.relu.f32 %r0, %r1, %r2, %r3;", "ld.global.speculative.u32 %r0, [%q0];",
        "ld.global.v3.u32 {%r0, %r1, %r2}, [%q0];", "cvt.rn.satfinite.e4m3x2.f32 %h0, %r0, %r1;",
        "mul.approx.f32 %r0, %r1, %r2;", "ex2.f32 %r0, %r1;",
        "mma.sync.aligned.m16n8k16.col.row.f32.f16.f16.f32 {%r0,%r1,%r2,%r3}, {%r4,%r5,%r6,%r7}, {%r4,%r5}, "
        "{%r0,%r1,%r2,%r3};",
        "atom.global.add.bf16x2 %r0, [%q0], %r1;", "wgmma.fence.sync.aligned;"),
    OpcodeName());

TEST(RefusalOfText, TextThatIsNoPtxIsASyntaxError) {
  GlobalMemory memory(1 << 20);
  try {
    run_module({module_text(".visible .entry probe()\n{\n  add.u32 %r0 %r1;\n}\n")}, memory);
    FAIL() << "it ran";
  } catch (const Fault& fault) {
    EXPECT_EQ(fault.kind, "syntax") << fault.what();
  }
}

}  // namespace
}  // namespace softgpu
