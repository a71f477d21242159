#pragma once

#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "machine/op.h"

namespace softgpu {

/// Makes one kernel's program: where registers and variables lie, what operands are. The functions of
/// decode.cc and decode_memory.cc turn instructions into ops with it.
class Decoder {
 public:
  Decoder(const ptx::Module& module, const ptx::Kernel& kernel, Program& program);
  void run();

  const ptx::Instruction& instruction() const { return *instruction_; }
  [[noreturn]] void refuse(std::string_view why = "") const;

  /// Offset of the operand as a register of the letter's width (Form::operands).
  uint32_t bind(const ptx::Operand& operand, char letter);
  /// Binds operands, vectors and pairs flattened, by a Form's letters.
  void bind_all(Op& op, const std::string& letters);
  /// [address]: its register, offset and width into op.
  struct Address {
    uint32_t reg = 0;
    bool wide = true;
    int64_t offset = 0;
  };
  Address address(const ptx::Operand& operand, ptx::Space space);
  ptx::Type type_of(const ptx::Operand& operand) const;
  uint32_t constant(uint32_t width, uint64_t bits);
  uint32_t scratch() const { return 0; }
  const ptx::Variable* variable(const std::string& name) const;
  /// Whether the name is of a kernel's parameter; a function's lie in local memory.
  bool kernel_parameter(const std::string& name) const;
  /// Index in Program::targets of these instructions.
  uint32_t add_targets(const std::vector<uint32_t>& instructions);
  Op start() const;
  void emit(const Op& op);

 private:
  void place_registers();
  void place_variables();
  void decode_one();
  uint64_t symbol_address(const ptx::Operand& operand) const;
  uint32_t special(const std::string& name, uint32_t width);
  uint32_t allocate(uint32_t bytes);
  void negate(uint32_t from, uint32_t to);

  const ptx::Module& module_;
  const ptx::Kernel& kernel_;
  Program& program_;
  const ptx::Instruction* instruction_ = nullptr;
  std::vector<uint32_t> registers_;                  // offset of each
  std::map<std::string, uint64_t> local_variables_;  // offset in a lane's local memory
  std::map<std::tuple<uint32_t, uint64_t, std::string>, uint32_t> presets_;
  std::vector<uint32_t> first_op_;  // of each instruction
};

/// Memory instructions: ld, st, atom, red, cp.async, ldmatrix, prefetch, createpolicy. False where it is none
/// of them.
bool decode_memory(Decoder& decoder);
/// mov, cvta, isspacep, cvt between integers, bra, bar. False where it is none of them.
bool decode_other(Decoder& decoder);

}  // namespace softgpu
