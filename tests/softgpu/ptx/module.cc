#include "ptx/module.h"

#include <algorithm>
#include <set>

namespace softgpu::ptx {
namespace {

template <class T>
auto find_named(T& things, std::string_view name) {
  auto found =
      std::find_if(things.begin(), things.end(), [&](const auto& thing) { return thing.name == name; });
  return found == things.end() ? nullptr : &*found;
}

void collect_symbols(const Operand& operand, std::set<std::string, std::less<>>& names) {
  if (!operand.text.empty()) names.insert(operand.text);
  for (const auto& part : operand.parts) collect_symbols(part, names);
}

uint64_t place(uint64_t end, const Variable& variable) {
  return (end + variable.alignment - 1) / variable.alignment * variable.alignment + variable.bytes;
}

}  // namespace

const Kernel* Module::kernel(std::string_view name) const {
  const Function* found = function(name);
  return found && found->entry ? found : nullptr;
}
const Function* Module::function(std::string_view name) const { return find_named(functions, name); }
Variable* Module::variable(std::string_view name) { return find_named(variables, name); }
const Variable* Module::variable(std::string_view name) const { return find_named(variables, name); }

int bytes(Type type) {
  switch (type) {
    case Type::none:
    case Type::pred:
      return 0;
    case Type::b8:
    case Type::u8:
    case Type::s8:
      return 1;
    case Type::b16:
    case Type::u16:
    case Type::s16:
    case Type::f16:
    case Type::bf16:
      return 2;
    case Type::b32:
    case Type::u32:
    case Type::s32:
    case Type::f16x2:
    case Type::bf16x2:
    case Type::f32:
      return 4;
    case Type::b64:
    case Type::u64:
    case Type::s64:
    case Type::f64:
      return 8;
    case Type::b128:
      return 16;
  }
  return 0;
}

SharedLayout shared_layout(const Module& module, const Kernel& kernel) {
  std::set<std::string, std::less<>> names;
  std::vector<const Function*> functions{&kernel};
  for (size_t i = 0; i < functions.size(); ++i) {
    for (const auto& instruction : functions[i]->instructions) {
      for (const auto& operand : instruction.operands) collect_symbols(operand, names);
    }
    for (const auto& function : module.functions) {
      if (names.contains(function.name) &&
          std::find(functions.begin(), functions.end(), &function) == functions.end()) {
        functions.push_back(&function);
      }
    }
  }
  SharedLayout layout;
  std::vector<const Variable*> dynamic;
  auto add = [&](const Variable& variable) {
    if (variable.space != Space::shared || !names.contains(variable.name)) return;
    if (variable.bytes == 0) {
      dynamic.push_back(&variable);
      return;
    }
    layout.static_bytes = place(layout.static_bytes, variable);
    layout.offsets.emplace_back(&variable, layout.static_bytes - variable.bytes);
  };
  for (const auto& variable : module.variables) add(variable);
  for (const Function* function : functions) {
    for (const auto& variable : function->variables) add(variable);
  }
  // Every `extern __shared__` array names the same bytes, after the static ones.
  uint64_t start = layout.static_bytes;
  for (const Variable* variable : dynamic) start = std::max(start, place(layout.static_bytes, *variable));
  for (const Variable* variable : dynamic) layout.offsets.emplace_back(variable, start);
  layout.dynamic_offset = start;
  return layout;
}

}  // namespace softgpu::ptx
