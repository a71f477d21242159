#pragma once

// Opcode tests: an instruction, what its registers hold, and what the PTX manual says comes out.

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/probe.h"

namespace softgpu {

/// What an operand or a result means: chooses operands worth trying and how results are compared.
enum class Meaning : uint8_t {
  pred,
  byte,
  word16,
  word32,
  word64,
  amount,  // 32 bits: a position, length or shift, mostly small
  f16,
  bf16,
  f32,
  f64,
  f16x2,
  bf16x2,
};
Form form(Meaning meaning);

struct OpcodeCase {
  std::string text;  // "add.s32 %d0, %a0, %a1;"
  std::vector<Meaning> inputs, outputs;
  /// The results for a thread's operands; bits above a register's do not count.
  std::function<Words(const Words&)> oracle;
  /// Of floating-point results: what the manual allows, relative or absolute, whichever is more. 0: exact;
  /// any NaN equals any NaN.
  double relative = 0, absolute = 0;
};

/// Runs the instruction on edge values, in all pairs where there are two, and on random ones, and compares
/// every thread.
void check_case(const OpcodeCase& test);

/// The instruction as a test's name.
std::string name_of(const OpcodeCase& test);

/// Instantiates tests of one list.
class OpcodeTest : public testing::TestWithParam<OpcodeCase> {};

inline void PrintTo(const OpcodeCase& test, std::ostream* out) { *out << test.text; }

/// Names the tests of a list by their instructions.
struct CaseName {
  std::string operator()(const testing::TestParamInfo<OpcodeCase>& info) const {
    return name_of(info.param) + "_" + std::to_string(info.index);
  }
};

}  // namespace softgpu
