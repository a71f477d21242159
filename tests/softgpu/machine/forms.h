#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "machine/op.h"

namespace softgpu {

/// How an opcode is done. `operands` has a letter per register, destinations before the colon: p predicate, h
/// 16 bits, w 32 bits, d 64 bits; i is a constant, kept in Op::imm; a ? follows a second destination that may
/// be left out.
struct Form {
  Handler run = nullptr;
  std::string operands;
  Kind kind = Kind::special;
  Control control = Control::plain;
};

/// Opcodes with every modifier as written, each spelt out: what is not here is refused.
using Forms = std::unordered_map<std::string, Form>;

const Forms& forms();

void add_integer_forms(Forms& forms);
void add_bit_forms(Forms& forms);
void add_float_forms(Forms& forms);
void add_half_forms(Forms& forms);
void add_compare_forms(Forms& forms);
void add_convert_forms(Forms& forms);
void add_warp_forms(Forms& forms);
void add_copy_forms(Forms& forms);
void add_matrix_forms(Forms& forms);
void add_control_forms(Forms& forms);

}  // namespace softgpu
