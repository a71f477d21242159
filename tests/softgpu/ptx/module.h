#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The text of a PTX module as plain values: what it declares, and its instructions in order. Nothing here
/// knows what an instruction does (machine/decode.h), only how one is written (PTX ISA, chapters 4 to 6).
namespace softgpu::ptx {

enum class Type : uint8_t {
  none,
  pred,
  b8,
  b16,
  b32,
  b64,
  b128,
  u8,
  u16,
  u32,
  u64,
  s8,
  s16,
  s32,
  s64,
  f16,
  f16x2,
  bf16,
  bf16x2,
  f32,
  f64
};
enum class Space : uint8_t { generic, param, shared, global, local, constant };

/// A variable of the module, of a kernel or of a function, or a parameter of one.
struct Variable {
  std::string name;
  Space space = Space::global;
  uint64_t bytes = 0;  // 0: `extern .shared name[]`, as long as the launch says
  uint32_t alignment = 1;
  uint64_t offset = 0;             // of a parameter: in the parameter block
  std::vector<std::byte> initial;  // shorter than bytes: the rest is zero
  uint64_t address = 0;  // of .global and .const: where the runtime has put it, before the first launch
};

struct Register {
  std::string name;
  Type type = Type::none;
};

struct Operand {
  enum class Kind : uint8_t {
    none,
    reg,      // index: into Function::registers; negated: !p
    integer,  // bits: sign-extended to 64
    real32,   // bits: of an f32 (0f...)
    real64,   // bits: of an f64 (0d..., 1.5)
    special,  // text: %tid.x
    symbol,   // text + offset: the address of a variable, or a function's name
    address,  // [index + offset], or [text + offset] where index is -1
    label,    // text
    vector,   // parts: {a, b, c, d}
    pair,     // parts: a|b
    list,     // parts: (a, b), of a call
    discard,  // _
  };
  Kind kind = Kind::none;
  bool negated = false;
  int32_t index = -1;
  uint64_t bits = 0;
  int64_t offset = 0;
  std::string text;
  std::vector<Operand> parts;
};

struct Instruction {
  std::string opcode;              // as written, ld.global.nc.v4.f32
  std::vector<std::string> words;  // the opcode at its dots: ld, global, nc, v4, f32
  std::vector<Operand> operands;
  int32_t guard = -1;             // register of @p
  bool guard_negated = false;     // @!p
  uint32_t target = 0;            // of a bra: the instruction it goes to
  std::vector<uint32_t> targets;  // of a brx.idx
  int line = 0;                   // in the PTX text
  int file = 0;                   // .loc, 0: none
  int source_line = 0;
};

/// A kernel (.entry) or a function (.func).
struct Function {
  std::string name;
  bool entry = false;
  std::vector<Variable> parameters;
  uint64_t parameter_bytes = 0;
  std::vector<Variable> results;    // of a .func
  std::vector<Variable> variables;  // .shared, .local and .param of its body
  std::vector<Register> registers;
  std::vector<Instruction> instructions;
  uint32_t max_threads = 0;  // .maxntid or .reqntid, multiplied out; 0: not said
  uint32_t min_blocks = 0;   // .minnctapersm
};
using Kernel = Function;

struct Module {
  std::string target;               // sm_80
  std::vector<std::string> files;   // .file n at n; "" where there is none
  std::vector<Variable> variables;  // .global, .const and .shared of the module
  std::vector<Function> functions;  // kernels and functions

  const Kernel* kernel(std::string_view name) const;
  const Function* function(std::string_view name) const;
  Variable* variable(std::string_view name);
  const Variable* variable(std::string_view name) const;
};

/// Bytes of a value of `type`; 0 for a predicate.
int bytes(Type type);

/// Where the .shared variables that a kernel names (its own, the module's, and those of functions it calls)
/// lie.
struct SharedLayout {
  std::vector<std::pair<const Variable*, uint64_t>> offsets;
  uint64_t static_bytes = 0;
  uint64_t dynamic_offset = 0;  // of `extern .shared` arrays: the launch's dynamic bytes begin here
};
SharedLayout shared_layout(const Module& module, const Kernel& kernel);

}  // namespace softgpu::ptx
