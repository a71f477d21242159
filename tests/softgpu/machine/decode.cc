#include "machine/decode.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "machine/decoder.h"
#include "machine/forms.h"
#include "machine/machine.h"
#include "machine/registers.h"

namespace softgpu {

using ptx::Operand;
using ptx::Space;

namespace {

uint32_t width_of(char letter) {
  switch (letter) {
    case 'p':
      return 0;
    case 'h':
      return 2;
    case 'w':
      return 4;
    default:
      return 8;
  }
}

void flatten(const Operand& operand, std::vector<const Operand*>& into) {
  if (operand.kind == Operand::Kind::vector || operand.kind == Operand::Kind::pair) {
    for (const auto& part : operand.parts) flatten(part, into);
  } else {
    into.push_back(&operand);
  }
}

void negate_predicate(Machine& m, const Op& op, uint32_t mask) {
  m.set_predicate(op.r[0], mask, ~m.predicate(op.r[1]));
}

}  // namespace

const Forms& forms() {
  static const Forms all = [] {
    Forms made;
    add_integer_forms(made);
    add_bit_forms(made);
    add_float_forms(made);
    add_half_forms(made);
    add_compare_forms(made);
    add_convert_forms(made);
    add_warp_forms(made);
    add_copy_forms(made);
    add_matrix_forms(made);
    add_control_forms(made);
    return made;
  }();
  return all;
}

Decoder::Decoder(const ptx::Module& module, const ptx::Kernel& kernel, Program& program)
    : module_(module), kernel_(kernel), program_(program) {
  program.module = &module;
  program.kernel = &kernel;
  program.shared = ptx::shared_layout(module, kernel);
}

void Decoder::refuse(std::string_view why) const {
  const int file = instruction_->file;
  const bool named = file > 0 && static_cast<size_t>(file) < module_.files.size();
  throw Fault(
      "unsupported",
      fmt::format("{}{}{}, PTX line {}{} of kernel {}", instruction_->opcode, why.empty() ? "" : ": ", why,
                  instruction_->line,
                  named ? fmt::format(" ({}:{})", module_.files[file], instruction_->source_line) : "",
                  kernel_.name));
}

uint32_t Decoder::allocate(uint32_t bytes) {
  const uint32_t offset = program_.register_bytes;
  program_.register_bytes += bytes;
  return offset;
}

void Decoder::place_registers() {
  allocate(8 * kLanes);  // scratch: where results go that nobody wants
  registers_ = softgpu::place_registers(kernel_, program_.register_bytes);
}

void Decoder::place_variables() {
  uint64_t end = 0;
  for (const auto& variable : kernel_.variables) {
    if (variable.space != Space::local && variable.space != Space::param) continue;
    end = (end + variable.alignment - 1) / variable.alignment * variable.alignment;
    local_variables_[variable.name] = end;
    end += variable.bytes;
  }
  program_.local_bytes = static_cast<uint32_t>((end + 15) / 16 * 16);
}

const ptx::Variable* Decoder::variable(const std::string& name) const {
  for (const auto* list : {&kernel_.variables, &kernel_.parameters}) {
    for (const auto& variable : *list) {
      if (variable.name == name) return &variable;
    }
  }
  return module_.variable(name);
}

bool Decoder::kernel_parameter(const std::string& name) const {
  return std::any_of(kernel_.parameters.begin(), kernel_.parameters.end(),
                     [&](const auto& parameter) { return parameter.name == name; });
}

// In the variable's own space.
uint64_t Decoder::symbol_address(const Operand& operand) const {
  const auto offset = static_cast<uint64_t>(operand.offset);
  const ptx::Variable* found = variable(operand.text);
  if (found == nullptr) refuse(fmt::format("no variable '{}'", operand.text));
  switch (found->space) {
    case Space::shared:
      for (const auto& [variable, at] : program_.shared.offsets) {
        if (variable == found) return at + offset;
      }
      break;
    case Space::global:
    case Space::constant:
      if (found->address == 0) refuse(fmt::format("variable '{}' has no address", operand.text));
      return found->address + offset;
    case Space::local:
      return local_variables_.at(operand.text) + offset;
    case Space::param:
      return (kernel_parameter(operand.text) ? found->offset : local_variables_.at(operand.text)) + offset;
    case Space::generic:
      break;
  }
  refuse(fmt::format("variable '{}' lies nowhere", operand.text));
}

uint32_t Decoder::constant(uint32_t width, uint64_t bits) {
  if (width < 8) bits &= (uint64_t{1} << (8 * width)) - 1;
  const auto [place, fresh] = presets_.try_emplace({width, bits, ""}, 0);
  if (fresh) {
    place->second = allocate(width * kLanes);
    program_.presets.push_back({place->second, width, bits, ""});
  }
  return place->second;
}

uint32_t Decoder::special(const std::string& name, uint32_t width) {
  static const std::vector<std::string_view> known{
      "%tid.x",          "%tid.y",       "%tid.z",       "%ntid.x",      "%ntid.y",      "%ntid.z",
      "%ctaid.x",        "%ctaid.y",     "%ctaid.z",     "%nctaid.x",    "%nctaid.y",    "%nctaid.z",
      "%laneid",         "%warpid",      "%nwarpid",     "%smid",        "%nsmid",       "%gridid",
      "%lanemask_eq",    "%lanemask_le", "%lanemask_lt", "%lanemask_ge", "%lanemask_gt", "%dynamic_smem_size",
      "%total_smem_size"};
  if (std::find(known.begin(), known.end(), name) == known.end())
    refuse(fmt::format("special register {}", name));
  const auto [place, fresh] = presets_.try_emplace({width, 0, name}, 0);
  if (fresh) {
    place->second = allocate(width * kLanes);
    program_.presets.push_back({place->second, width, 0, name});
  }
  return place->second;
}

void Decoder::negate(uint32_t from, uint32_t to) {
  Op op = start();
  op.run = negate_predicate;
  op.kind = Kind::compare;
  op.r[0] = to;
  op.r[1] = from;
  emit(op);
}

uint32_t Decoder::bind(const Operand& operand, char letter) {
  const uint32_t width = width_of(letter);
  switch (operand.kind) {
    case Operand::Kind::discard:
      return scratch();
    case Operand::Kind::reg: {
      const ptx::Type type = kernel_.registers[operand.index].type;
      if ((letter == 'p') != (type == ptx::Type::pred) || static_cast<uint32_t>(ptx::bytes(type)) != width) {
        refuse(fmt::format("{} has another width", kernel_.registers[operand.index].name));
      }
      if (!operand.negated) return registers_[operand.index];
      const uint32_t negated = allocate(64);
      negate(registers_[operand.index], negated);
      return negated;
    }
    case Operand::Kind::integer:
      // A predicate's constant is 0 or 1 in PTX; as bits of all lanes it is none or all.
      if (letter == 'p') return constant(4, operand.bits != 0 ? ~uint64_t{0} : 0);
      return constant(width, operand.bits);
    case Operand::Kind::real32:
      if (letter != 'w') refuse("an f32 constant");
      return constant(width, operand.bits);
    case Operand::Kind::real64:
      if (letter != 'd') refuse("an f64 constant");
      return constant(width, operand.bits);
    case Operand::Kind::special:
      if (letter == 'p' || letter == 'h') refuse(operand.text);
      return special(operand.text, width);
    case Operand::Kind::symbol:
      return constant(width, symbol_address(operand));
    default:
      refuse("an operand of another kind is expected");
  }
}

void Decoder::bind_all(Op& op, const std::string& letters) {
  std::vector<const Operand*> operands;
  for (size_t i = 0; i < instruction_->operands.size(); ++i) {
    const Operand& operand = instruction_->operands[i];
    flatten(operand, operands);
    if (i == 0 && letters.find('?') != std::string::npos && operand.kind != Operand::Kind::pair) {
      operands.push_back(nullptr);
    }
  }
  size_t next = 0;
  for (const char letter : letters) {
    if (letter == ':' || letter == '?') continue;
    if (next == operands.size()) refuse("an operand is missing");
    const Operand* operand = operands[next];
    if (letter == 'i') {
      if (operand->kind != Operand::Kind::integer) refuse("a constant is expected");
      op.imm = static_cast<int64_t>(operand->bits);
    } else {
      op.r[next] = operand == nullptr ? scratch() : bind(*operand, letter);
    }
    ++next;
  }
  if (next != operands.size()) refuse("an operand is too many");
  if (op.control == Control::converge) op.imm2 = op.r[next - 1];
}

Decoder::Address Decoder::address(const Operand& operand, Space space) {
  if (operand.kind != Operand::Kind::address) refuse("an address is expected");
  if (operand.index >= 0) {
    const int bytes = ptx::bytes(kernel_.registers[operand.index].type);
    if (bytes != 4 && bytes != 8) refuse("an address has 32 or 64 bits");
    return {registers_[operand.index], bytes == 8, operand.offset};
  }
  if (operand.text.empty()) return {constant(8, 0), true, operand.offset};
  const ptx::Variable* found = variable(operand.text);
  uint64_t base = symbol_address(operand);
  if (found->space != space && !(space == Space::generic && found->space == Space::global) &&
      !(found->space == Space::param && space == Space::local)) {
    refuse(fmt::format("'{}' lies in another space", operand.text));
  }
  return {constant(8, 0), true, static_cast<int64_t>(base)};
}

ptx::Type Decoder::type_of(const Operand& operand) const {
  return operand.kind == Operand::Kind::reg ? kernel_.registers[operand.index].type : ptx::Type::none;
}

uint32_t Decoder::add_targets(const std::vector<uint32_t>& instructions) {
  const auto first = static_cast<uint32_t>(program_.targets.size());
  program_.targets.insert(program_.targets.end(), instructions.begin(), instructions.end());
  return first;
}

Op Decoder::start() const {
  Op op;
  op.source = instruction_;
  if (instruction_->guard >= 0) {
    op.guard = static_cast<int32_t>(registers_[instruction_->guard]);
    op.guard_flip = instruction_->guard_negated ? kAllLanes : 0;
  }
  return op;
}

void Decoder::emit(const Op& op) {
  if (op.bytes != 0) {
    const auto size = static_cast<uint32_t>(std::countr_zero(static_cast<uint32_t>(op.bytes)));
    const bool generic = op.space == Space::generic;
    if (generic || op.space == Space::shared)
      program_.shared_granule = std::min(program_.shared_granule, size);
    if (generic || op.space == Space::global)
      program_.global_granule = std::min(program_.global_granule, size);
  }
  program_.orders = program_.orders || op.acquires || op.releases;
  program_.ops.push_back(op);
  program_.function_of.push_back(&kernel_);
}

void Decoder::decode_one() {
  if (instruction_->guard >= 0 && kernel_.registers[instruction_->guard].type != ptx::Type::pred) {
    refuse("its guard is no predicate");
  }
  if (decode_memory(*this) || decode_other(*this)) return;
  const auto found = forms().find(instruction_->opcode);
  if (found == forms().end()) refuse();
  const Form& form = found->second;
  Op op = start();
  op.run = form.run;
  op.kind = form.kind;
  op.control = form.control;
  program_.orders =
      program_.orders || instruction_->words[0] == "fence" || instruction_->words[0] == "membar";
  bind_all(op, form.operands);
  emit(op);
}

void Decoder::run() {
  place_registers();
  place_variables();
  for (const auto& instruction : kernel_.instructions) {
    instruction_ = &instruction;
    first_op_.push_back(static_cast<uint32_t>(program_.ops.size()));
    decode_one();
  }
  // Labels behind the last instruction end the kernel.
  ptx::Instruction const* last = instruction_;
  Op end;
  end.control = Control::exit;
  end.kind = Kind::branch;
  end.source = last;
  first_op_.push_back(static_cast<uint32_t>(program_.ops.size()));
  emit(end);
  for (auto& op : program_.ops) {
    if (op.control == Control::branch) op.target = first_op_[op.target];
  }
  for (auto& target : program_.targets) target = first_op_[target];
  program_.register_bytes = (program_.register_bytes + 255) / 256 * 256;
  program_.warp_counts.assign(program_.ops.size(), 0);
  program_.thread_counts.assign(program_.ops.size(), 0);
}

std::unique_ptr<Program> decode(const ptx::Module& module, const ptx::Kernel& kernel) {
  auto program = std::make_unique<Program>();
  Decoder(module, kernel, *program).run();
  return program;
}

}  // namespace softgpu
