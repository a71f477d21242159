#include "ptx/parser.h"

#include <fmt/format.h>

#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "machine/fault.h"
#include "ptx/token_stream.h"

namespace softgpu::ptx {
namespace {

std::optional<Type> type_named(std::string_view name) {
  static const std::unordered_map<std::string_view, Type> types{
      {".pred", Type::pred}, {".b8", Type::b8},         {".b16", Type::b16}, {".b32", Type::b32},
      {".b64", Type::b64},   {".b128", Type::b128},     {".u8", Type::u8},   {".u16", Type::u16},
      {".u32", Type::u32},   {".u64", Type::u64},       {".s8", Type::s8},   {".s16", Type::s16},
      {".s32", Type::s32},   {".s64", Type::s64},       {".f16", Type::f16}, {".f16x2", Type::f16x2},
      {".bf16", Type::bf16}, {".bf16x2", Type::bf16x2}, {".f32", Type::f32}, {".f64", Type::f64}};
  const auto found = types.find(name);
  return found == types.end() ? std::nullopt : std::optional(found->second);
}

std::optional<Space> space_named(std::string_view name) {
  static const std::unordered_map<std::string_view, Space> spaces{{".param", Space::param},
                                                                  {".shared", Space::shared},
                                                                  {".global", Space::global},
                                                                  {".local", Space::local},
                                                                  {".const", Space::constant}};
  const auto found = spaces.find(name);
  return found == spaces.end() ? std::nullopt : std::optional(found->second);
}

// Names that one pair of braces declares. Labels may be used before they are declared, so they are looked up
// last.
struct Scope {
  int parent = -1;
  std::unordered_map<std::string_view, int32_t> registers;
  std::unordered_map<std::string_view, std::string> variables;  // as written -> unique in the function
  std::unordered_map<std::string_view, uint32_t> labels;
  std::unordered_map<std::string_view, std::vector<std::string_view>> target_lists;
};

class Parser : TokenStream {
 public:
  explicit Parser(std::string_view text) : TokenStream(text) {}

  Module module() {
    while (now().kind != Kind::end) top_level();
    return std::move(module_);
  }

 private:
  using Kind = Token::Kind;

  // --- the module ---
  void top_level() {
    if (take(".version") || take(".address_size")) {
      next();
    } else if (take(".target")) {
      module_.target = word();
      while (take(",")) next();
    } else if (take(".file")) {
      file();
    } else if (take(".section")) {
      while (!is("{")) skip_one("'{'");
      skip_braces();
    } else if (take(".visible") || take(".weak") || take(".extern") || take(".common")) {
      // What a linker does with a name changes nothing here.
    } else if (take(".entry")) {
      function(true);
    } else if (take(".func")) {
      function(false);
    } else if (now().kind == Kind::directive && space_named(now().text)) {
      variables(module_.variables);
    } else {
      fail("a declaration");
    }
  }

  void file() {
    const size_t index = integer();
    if (index > 1 << 20) fail("a file's number");
    if (module_.files.size() <= index) module_.files.resize(index + 1);
    if (now().kind != Kind::string) fail("a file's name");
    module_.files[index] = next().text;
    while (take(",")) next();  // time and size
  }

  // `.shared .align 16 .b8 name[4][2] = {...}, ...;`
  void variables(std::vector<Variable>& into, Scope* scope = nullptr) {
    Variable first = type_prefix();
    do {
      Variable variable = first;
      declarator(variable);
      if (take("=")) initial(variable);
      if (scope != nullptr) {
        const std::string_view written = module_text(variable.name);
        if (!unique_.emplace(variable.name, 0).second)
          variable.name += fmt::format("#{}", ++unique_[variable.name]);
        scope->variables[written] = variable.name;
      }
      into.push_back(std::move(variable));
    } while (take(","));
    expect(";");
  }

  std::string_view module_text(const std::string& name) { return names_.emplace_back(name); }

  Variable type_prefix() {
    Variable variable;
    variable.space = *space_named(next().text);
    element_ = Type::none;
    alignment_ = 0;
    while (now().kind == Kind::directive) {
      if (take(".align")) {
        alignment_ = static_cast<uint32_t>(integer());
      } else if (take(".ptr")) {
        pointer_attributes();
      } else if (const auto type = type_named(now().text)) {
        element_ = *type;
        next();
      } else {
        fail("a type or an alignment");
      }
    }
    if (element_ == Type::none) fail("a type");
    return variable;
  }

  void pointer_attributes() {
    if (now().kind == Kind::directive && space_named(now().text)) next();
    if (take(".align")) integer();
  }

  void declarator(Variable& variable) {
    variable.name = word();
    variable.alignment = alignment_ != 0 ? alignment_ : static_cast<uint32_t>(bytes(element_));
    variable.bytes = bytes(element_);
    while (take("[")) {
      variable.bytes *= is("]") ? 0 : integer();
      expect("]");
    }
  }

  void initial(Variable& variable) {
    const auto size = static_cast<size_t>(bytes(element_));
    auto append = [&] {
      const Operand value = number();
      std::byte raw[8];
      std::memcpy(raw, &value.bits, 8);
      variable.initial.insert(variable.initial.end(), raw, raw + size);
    };
    if (!take("{")) return append();
    for (int depth = 1; depth > 0;) {
      if (take("{")) {
        ++depth;
      } else if (take("}")) {
        --depth;
      } else if (!take(",")) {
        append();
      }
    }
    if (variable.initial.size() > variable.bytes) fail("an initialiser of the variable's length");
  }

  // --- functions ---
  void function(bool entry) {
    function_ = Function{};
    function_.entry = entry;
    unique_.clear();
    scopes_.clear();
    scopes_.emplace_back();
    scope_ = 0;
    file_ = source_line_ = 0;
    references_.clear();
    if (!entry && is("(")) parameters(function_.results);
    function_.name = word();
    if (is("(")) function_.parameter_bytes = parameters(function_.parameters);
    attributes();
    if (take(";")) return;  // a declaration
    expect("{");
    body();
    resolve();
    module_.functions.push_back(std::move(function_));
  }

  // Returns the bytes that they take, each aligned.
  uint64_t parameters(std::vector<Variable>& into) {
    expect("(");
    uint64_t end = 0;
    while (!take(")")) {
      if (!is(".param") && !is(".reg")) fail("a parameter");
      if (is(".reg")) fail(".param (parameters in registers are not known)");
      Variable variable = type_prefix();
      declarator(variable);
      variable.offset = (end + variable.alignment - 1) / variable.alignment * variable.alignment;
      end = variable.offset + variable.bytes;
      scopes_[0].variables[module_text(variable.name)] = variable.name;
      unique_.emplace(variable.name, 0);
      into.push_back(std::move(variable));
      take(",");
    }
    return end;
  }

  void attributes() {
    while (now().kind == Kind::directive) {
      const std::string_view name = next().text;
      uint64_t product = 1;
      uint64_t first = 0;
      if (now().kind == Kind::number) {
        product = first = integer();
        while (take(",")) product *= integer();
      }
      if (name == ".maxntid" || name == ".reqntid")
        function_.max_threads = static_cast<uint32_t>(product);
      else if (name == ".minnctapersm")
        function_.min_blocks = static_cast<uint32_t>(first);
      else if (name != ".noreturn" && name != ".maxnreg") {
        throw Fault("syntax", fmt::format("PTX line {}: {} is not known of a function", now().line, name));
      }
    }
  }

  void body() {
    for (int depth = 1; depth > 0;) {
      if (now().kind == Kind::end) fail("'}'");
      if (take("{")) {
        scopes_.emplace_back().parent = scope_;
        scope_ = static_cast<int>(scopes_.size()) - 1;
        ++depth;
      } else if (take("}")) {
        scope_ = scopes_[scope_].parent;
        --depth;
      } else if (!take(";")) {
        statement();
      }
    }
  }

  Scope& scope() { return scopes_[scope_]; }

  void statement() {
    if (take(".reg")) return registers();
    if (take(".loc")) return location();
    if (take(".pragma")) {
      while (!take(";")) skip_one("';'");
      return;
    }
    if (now().kind == Kind::directive && space_named(now().text))
      return variables(function_.variables, &scope());
    if (is_label()) {
      const std::string_view label = word();
      expect(":");
      if (take(".branchtargets")) {
        do scope().target_lists[label].push_back(word());
        while (take(","));
        return expect(";");
      }
      if (is(".callprototype")) fail("a direct call");
      if (!scope().labels.emplace(label, function_.instructions.size()).second) {
        throw Fault("syntax", fmt::format("PTX line {}: two labels '{}'", now().line, label));
      }
      return;
    }
    instruction();
  }

  // `.reg .b32 %r<6>, %x;`
  void registers() {
    const auto type = type_named(now().text);
    if (!type) fail("a type");
    next();
    do {
      const std::string_view name = word();
      if (!take("<")) {
        declare(name, *type);
        continue;
      }
      const uint64_t count = integer();
      expect(">");
      for (uint64_t i = 0; i < count; ++i) declare(names_.emplace_back(fmt::format("{}{}", name, i)), *type);
    } while (take(","));
    expect(";");
  }

  void declare(std::string_view name, Type type) {
    scope().registers[name] = static_cast<int32_t>(function_.registers.size());
    function_.registers.push_back({std::string(name), type});
  }

  // `.loc 1 23 5, function_name ..., inlined_at ...`
  void location() {
    const int line = now().line;
    file_ = static_cast<int>(integer());
    source_line_ = static_cast<int>(integer());
    while (now().line == line && now().kind != Kind::end) next();
  }

  int32_t find_register(std::string_view name) const {
    for (int scope = scope_; scope >= 0; scope = scopes_[scope].parent) {
      const auto found = scopes_[scope].registers.find(name);
      if (found != scopes_[scope].registers.end()) return found->second;
    }
    return -1;
  }
  std::string variable_name(std::string_view written) const {
    for (int scope = scope_; scope >= 0; scope = scopes_[scope].parent) {
      const auto found = scopes_[scope].variables.find(written);
      if (found != scopes_[scope].variables.end()) return found->second;
    }
    return std::string(written);
  }

  void instruction() {
    Instruction made;
    made.line = now().line;
    made.file = file_;
    made.source_line = source_line_;
    if (take("@")) {
      made.guard_negated = take("!");
      made.guard = find_register(now().text);
      if (made.guard < 0) fail("a predicate");
      next();
    }
    made.opcode = word();
    for (size_t start = 0; start <= made.opcode.size();) {
      const size_t dot = std::min(made.opcode.find('.', start), made.opcode.size());
      made.words.push_back(made.opcode.substr(start, dot - start));
      start = dot + 1;
    }
    const bool branches = made.words[0] == "bra" || made.words[0] == "brx";
    while (!take(";")) {
      made.operands.push_back(branches && find_register(now().text) < 0 ? label() : operand());
      if (!is(";")) expect(",");
    }
    if (branches) references_.push_back({function_.instructions.size(), scope_});
    function_.instructions.push_back(std::move(made));
  }

  Operand label() {
    Operand made;
    made.kind = Operand::Kind::label;
    made.text = word();
    return made;
  }

  Operand operand() {
    if (is("{")) return parts(Operand::Kind::vector, "{", "}");
    if (is("(")) return parts(Operand::Kind::list, "(", ")");
    if (is("[")) return address();
    Operand made;
    made.negated = take("!");
    if (now().kind == Kind::number || is("-")) return number();
    const std::string_view name = word();
    if (name == "_") {
      made.kind = Operand::Kind::discard;
    } else if ((made.index = find_register(name)) >= 0) {
      made.kind = Operand::Kind::reg;
    } else if (name[0] == '%') {
      made.kind = Operand::Kind::special;
      made.text = name;
    } else {
      made.kind = Operand::Kind::symbol;
      made.text = variable_name(name);
      if (take("+")) made.offset = static_cast<int64_t>(integer());
    }
    if (take("|")) {
      Operand pair;
      pair.kind = Operand::Kind::pair;
      pair.parts = {made, operand()};
      return pair;
    }
    return made;
  }

  Operand parts(Operand::Kind kind, std::string_view open, std::string_view close) {
    Operand made;
    made.kind = kind;
    expect(open);
    while (!take(close)) {
      made.parts.push_back(operand());
      if (!is(close)) expect(",");
    }
    return made;
  }

  Operand address() {
    Operand made;
    made.kind = Operand::Kind::address;
    expect("[");
    if (now().kind == Kind::number) {
      made.offset = static_cast<int64_t>(integer());
    } else {
      const std::string_view name = word();
      made.index = find_register(name);
      if (made.index < 0) made.text = variable_name(name);
      if (take("+") || is("-")) made.offset = static_cast<int64_t>(integer());
    }
    expect("]");
    return made;
  }

  // --- labels ---
  struct Reference {
    size_t instruction;
    int scope;
  };

  uint32_t label_target(std::string_view name, int from, int line) const {
    for (int scope = from; scope >= 0; scope = scopes_[scope].parent) {
      const auto found = scopes_[scope].labels.find(name);
      if (found != scopes_[scope].labels.end()) return found->second;
    }
    throw Fault("syntax", fmt::format("PTX line {}: no label '{}'", line, name));
  }

  void resolve() {
    for (const auto& reference : references_) {
      Instruction& instruction = function_.instructions[reference.instruction];
      const std::string& name = instruction.operands.back().text;
      if (instruction.words[0] == "bra") {
        instruction.target = label_target(name, reference.scope, instruction.line);
        continue;
      }
      for (int scope = reference.scope; scope >= 0; scope = scopes_[scope].parent) {
        const auto found = scopes_[scope].target_lists.find(name);
        if (found == scopes_[scope].target_lists.end()) continue;
        for (const auto target : found->second) {
          instruction.targets.push_back(label_target(target, reference.scope, instruction.line));
        }
        break;
      }
      if (instruction.targets.empty()) {
        throw Fault("syntax", fmt::format("PTX line {}: no list of targets '{}'", instruction.line, name));
      }
    }
  }

  Module module_;
  Function function_;
  Type element_ = Type::none;
  uint32_t alignment_ = 0;
  int file_ = 0, source_line_ = 0;
  int scope_ = 0;
  std::vector<Scope> scopes_;
  std::vector<Reference> references_;
  std::map<std::string, int> unique_;  // names of variables in this function
  std::deque<std::string> names_;      // that scopes' keys view
};

}  // namespace

Module parse(std::string_view text) { return Parser(text).module(); }

}  // namespace softgpu::ptx
