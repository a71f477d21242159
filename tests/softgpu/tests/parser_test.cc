// The text of PTX as values.

#include "ptx/parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "machine/fault.h"

namespace softgpu::ptx {
namespace {

const std::string kHead = ".version 9.0\n.target sm_80\n.address_size 64\n";

Function only_function(const std::string& body) {
  Module module = parse(kHead + ".visible .entry k() {\n" + body + "\n}\n");
  return std::move(module.functions.at(0));
}

std::string syntax_fault(const std::string& text) {
  try {
    parse(text);
  } catch (const Fault& fault) {
    EXPECT_EQ(fault.kind, "syntax");
    return fault.what();
  }
  return "it is PTX";
}

TEST(Parser, ParametersLieAtTheirAlignment) {
  const Module module =
      parse(kHead +
            ".entry k(.param .u32 a, .param .u64 .ptr .global .align 16 b, .param .align 4 .b8 c[6], "
            ".param .u16 d) .maxntid 64, 2, 1 .minnctapersm 3 { ret; }");
  const Kernel& kernel = *module.kernel("k");
  EXPECT_EQ(kernel.parameters[1].offset, 8U);
  EXPECT_EQ(kernel.parameters[2].offset, 16U);
  EXPECT_EQ(kernel.parameters[3].offset, 22U);
  EXPECT_EQ(kernel.parameter_bytes, 24U);
  EXPECT_EQ(kernel.max_threads, 128U);
  EXPECT_EQ(kernel.min_blocks, 3U);
}

TEST(Parser, VariablesHaveTheirInitialBytes) {
  const Module module = parse(kHead +
                              ".global .align 4 .b8 t[8] = {1, 2, 0xFF};\n.const .f32 f = 0f3F800000;\n"
                              ".global .u16 g[2][2] = {{1, 2}, {3, 4}};\n.extern .shared .align 16 .b8 s[];");
  EXPECT_THAT(module.variables[0].initial, testing::ElementsAre(std::byte{1}, std::byte{2}, std::byte{255}));
  EXPECT_EQ(module.variables[0].bytes, 8U);
  EXPECT_EQ(module.variables[1].space, Space::constant);
  EXPECT_EQ(module.variables[1].initial.at(3), std::byte{0x3F});
  EXPECT_EQ(module.variables[2].initial.at(6), std::byte{4});
  EXPECT_EQ(module.variables[3].bytes, 0U);
  EXPECT_EQ(module.variables[3].alignment, 16U);
}

TEST(Parser, NamesInBracesHideThoseOutside) {
  const Function f = only_function(R"(
    .reg .b32 r<2>;
    mov.u32 r1, 1;
    L: { .reg .b32 r1; mov.u32 r1, 2; bra L; L: add.u32 r1, r1, r0; }
    bra L;)");
  EXPECT_EQ(f.registers.size(), 3U);
  EXPECT_EQ(f.instructions[0].operands[0].index, 1);
  EXPECT_EQ(f.instructions[1].operands[0].index, 2);
  EXPECT_EQ(f.instructions[2].target, 3U);  // the inner label
  EXPECT_EQ(f.instructions[3].operands[2].index, 0);
  EXPECT_EQ(f.instructions[4].target, 1U);  // the outer one
}

TEST(Parser, OperandsOfEveryKind) {
  const Function f = only_function(R"(
    .reg .b32 %r<4>; .reg .pred %p<3>; .reg .b64 %d;
    @!%p1 ld.global.nc.v2.u32 {%r1, _}, [%d+-8];
    setp.lt.s32 %p1|%p2, %r1, -5;
    mov.f32 %r2, 0fBF800000;
    mov.u32 %r3, %tid.x;)");
  const Instruction& load = f.instructions[0];
  EXPECT_THAT(load.words, testing::ElementsAre("ld", "global", "nc", "v2", "u32"));
  EXPECT_TRUE(load.guard_negated);
  EXPECT_EQ(load.operands[0].parts[1].kind, Operand::Kind::discard);
  EXPECT_EQ(load.operands[1].offset, -8);
  EXPECT_EQ(f.instructions[1].operands[0].kind, Operand::Kind::pair);
  EXPECT_EQ(static_cast<int64_t>(f.instructions[1].operands[2].bits), -5);
  EXPECT_EQ(f.instructions[2].operands[1].bits, 0xBF800000U);
  EXPECT_EQ(f.instructions[3].operands[1].text, "%tid.x");
}

TEST(Parser, LinesOfTheSourceStayWithInstructions) {
  const Module module = parse(kHead +
                              ".file 1 \"a.cu\"\n.entry k() {\n.loc 1 7 3\nbar.sync 0;\n"
                              ".loc 1 9 1, function_name $L__info, inlined_at 1 7 3\nret;\n}\n"
                              ".section .debug_str { $L__info: .b8 107 .b8 0 }\n");
  const auto& instructions = module.functions[0].instructions;
  EXPECT_EQ(module.files.at(1), "a.cu");
  EXPECT_EQ(instructions[0].source_line, 7);
  EXPECT_EQ(instructions[1].source_line, 9);
  EXPECT_EQ(instructions[1].line, 9);
}

TEST(Parser, WhatIsNoPtxIsNamedWithItsLine) {
  EXPECT_THAT(syntax_fault(kHead + ".entry k() {\n  bra nowhere;\n}"),
              testing::HasSubstr("line 5: no label 'nowhere'"));
  EXPECT_THAT(syntax_fault(kHead + ".entry k() {\n L: L: ret;\n}"), testing::HasSubstr("two labels 'L'"));
  EXPECT_THAT(syntax_fault(kHead + ".entry k() {\n ret"), testing::HasSubstr("end of text"));
  EXPECT_THAT(syntax_fault(kHead + ".entry k() {\n .pragma \"x\""), testing::HasSubstr("end of text"));
  EXPECT_THAT(syntax_fault(kHead + ".entry k() { mov.u32 ?, 1; }"), testing::HasSubstr("'?' begins nothing"));
  EXPECT_THAT(syntax_fault(kHead + ".section .debug"), testing::HasSubstr("end of text"));
}

}  // namespace
}  // namespace softgpu::ptx
