#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>

#include "machine/copy.h"
#include "machine/decoder.h"
#include "machine/memory.h"

namespace softgpu {
namespace {

using ptx::Operand;
using ptx::Space;
using ptx::Type;

using Words = std::vector<std::string>;

Type element_type(const std::string& word) {
  static const std::map<std::string, Type> types{
      {"b8", Type::b8},       {"b16", Type::b16},      {"b32", Type::b32}, {"b64", Type::b64},
      {"u8", Type::u8},       {"u16", Type::u16},      {"u32", Type::u32}, {"u64", Type::u64},
      {"s8", Type::s8},       {"s16", Type::s16},      {"s32", Type::s32}, {"s64", Type::s64},
      {"f16", Type::f16},     {"bf16", Type::bf16},    {"f32", Type::f32}, {"f64", Type::f64},
      {"f16x2", Type::f16x2}, {"bf16x2", Type::bf16x2}};
  const auto found = types.find(word);
  return found == types.end() ? Type::none : found->second;
}

bool is_hint(const std::string& word) {
  // How a cache treats the bytes changes no result.
  static const std::set<std::string> hints{"ca",
                                           "cg",
                                           "cs",
                                           "lu",
                                           "cv",
                                           "wb",
                                           "wt",
                                           "nc",
                                           "L1::evict_normal",
                                           "L1::evict_unchanged",
                                           "L1::evict_first",
                                           "L1::evict_last",
                                           "L1::no_allocate",
                                           "L2::64B",
                                           "L2::128B",
                                           "L2::256B",
                                           "L2::cache_hint",
                                           "L2::evict_first",
                                           "L2::evict_last",
                                           "L2::evict_normal",
                                           "weak"};
  return hints.contains(word);
}
bool is_order(const std::string& word) {
  static const std::set<std::string> orders{"relaxed", "acquire", "release", "acq_rel", "volatile", "mmio"};
  return orders.contains(word);
}
void take_order(Op& op, const std::string& word) {
  op.synchronises = true;
  op.acquires = word == "acquire" || word == "acq_rel";
  op.releases = word == "release" || word == "acq_rel";
}
bool is_scope(const std::string& word) {
  return word == "cta" || word == "gpu" || word == "sys" || word == "cluster";
}

bool is_space(const std::string& word, Space& space) {
  if (word == "global")
    space = Space::global;
  else if (word == "shared" || word == "shared::cta")
    space = Space::shared;
  else if (word == "local")
    space = Space::local;
  else if (word == "param" || word == "param::entry" || word == "param::func")
    space = Space::param;
  else if (word == "const")
    space = Space::constant;
  else
    return false;
  return true;
}

Kind kind_of(Space space, bool loads) {
  switch (space) {
    case Space::shared:
      return loads ? Kind::shared_load : Kind::shared_store;
    case Space::param:
      return Kind::parameter;
    case Space::local:
      return Kind::local_memory;
    default:
      return loads ? Kind::global_load : Kind::global_store;
  }
}

// A parameter of a function, or an argument for one, is a variable of the lane.
void settle_parameter_space(Decoder& d, Op& op, const Operand& operand) {
  if (op.space != Space::param || operand.text.empty()) return;
  if (!d.kernel_parameter(operand.text)) op.space = Space::local;
}

void take_address(Decoder& d, Op& op, const Operand& operand, uint32_t position) {
  settle_parameter_space(d, op, operand);
  const auto address = d.address(operand, op.space);
  op.r[position] = address.reg;
  op.wide_address = address.wide;
  op.imm = address.offset;
}

char letter_of(Decoder& d, const Operand& operand, Type element) {
  const int reg =
      operand.kind == Operand::Kind::reg ? ptx::bytes(d.type_of(operand)) : std::max(ptx::bytes(element), 2);
  if (reg < ptx::bytes(element) || reg == 0) d.refuse("its register is narrower than its type");
  return reg == 2 ? 'h' : reg == 4 ? 'w' : 'd';
}

void decode_load_store(Decoder& d, bool loads) {
  const auto& words = d.instruction().words;
  const auto& operands = d.instruction().operands;
  Op op = d.start();
  size_t count = 1;
  bool hinted = false;
  for (size_t i = 1; i + 1 < words.size(); ++i) {
    if (words[i] == "v2")
      count = 2;
    else if (words[i] == "v4")
      count = 4;
    else if (words[i] == "v8")
      count = 8;
    else if (is_order(words[i]))
      take_order(op, words[i]);
    else if (words[i] == "L2::cache_hint")
      hinted = true;
    else if (!is_space(words[i], op.space) && !is_hint(words[i]) && !is_scope(words[i]))
      d.refuse("." + words[i]);
  }
  const Type element = element_type(words.back());
  if (element == Type::none || operands.size() != (hinted ? 3U : 2U)) d.refuse();
  const Operand& data = operands[loads ? 0 : 1];
  const std::vector<Operand> parts =
      data.kind == Operand::Kind::vector ? data.parts : std::vector<Operand>{data};
  if (parts.size() != count) d.refuse("another number of registers");
  op.bytes = static_cast<uint8_t>(ptx::bytes(element) * static_cast<int>(count));
  if (op.bytes > 32) d.refuse("an access of more than 32 bytes");
  char letter = 0;
  for (const auto& part : parts) {
    if (part.kind == Operand::Kind::reg) letter = letter_of(d, part, element);
  }
  if (letter == 0) letter = letter_of(d, parts[0], element);
  for (uint32_t i = 0; i < count; ++i) op.r[loads ? i : i + 1] = d.bind(parts[i], letter);
  take_address(d, op, operands[loads ? 1 : 0], loads ? static_cast<uint32_t>(count) : 0);
  const int bytes = letter == 'h' ? 2 : letter == 'w' ? 4 : 8;
  op.run = loads ? load_handler(element, static_cast<int>(count), bytes)
                 : store_handler(element, static_cast<int>(count), bytes);
  op.kind = kind_of(op.space, loads);
  if (op.run == nullptr) d.refuse();
  d.emit(op);
}

void decode_atomic(Decoder& d, bool returns) {
  const auto& words = d.instruction().words;
  Op op = d.start();
  std::string operation;
  for (size_t i = 1; i + 1 < words.size(); ++i) {
    if (is_order(words[i])) take_order(op, words[i]);
    if (is_order(words[i]) || is_scope(words[i]) || is_space(words[i], op.space)) continue;
    if (words[i] == "L2::cache_hint") d.refuse("a cache policy");
    operation += (operation.empty() ? "" : ".") + words[i];
  }
  op.run = atomic_handler(operation, words.back(), returns);
  const Type element = element_type(words.back());
  const size_t sources = operation == "cas" ? 2 : 1;
  const size_t address = returns ? 1 : 0;
  const auto& operands = d.instruction().operands;
  if (op.run == nullptr || element == Type::none || operands.size() != address + 1 + sources) d.refuse();
  op.bytes = static_cast<uint8_t>(ptx::bytes(element));
  op.synchronises = true;
  op.kind = Kind::atomic;
  const char letter = op.bytes == 2 ? 'h' : op.bytes == 4 ? 'w' : 'd';
  if (returns) op.r[0] = d.bind(operands[0], letter);
  take_address(d, op, operands[address], static_cast<uint32_t>(address));
  for (size_t i = 0; i < sources; ++i) op.r[address + 1 + i] = d.bind(operands[address + 1 + i], letter);
  d.emit(op);
}

// cp.async.cg.shared.global [to], [from], 16{, source bytes}{, cache policy}
void decode_copy(Decoder& d) {
  const auto& words = d.instruction().words;
  const auto& operands = d.instruction().operands;
  Op op = d.start();
  bool hinted = false;
  for (size_t i = 3; i < words.size(); ++i) {
    const bool expected =
        i == 3 ? words[i] == "shared" || words[i] == "shared::cta" : i == 4 && words[i] == "global";
    if (expected) continue;
    if (words[i] == "L2::cache_hint")
      hinted = true;
    else if (!is_hint(words[i]))
      d.refuse("." + words[i]);
  }
  const size_t plain = operands.size() - (hinted ? 1 : 0);
  if (words.size() < 5 || plain < 3 || plain > 4) d.refuse();
  const auto to = d.address(operands[0], Space::shared);
  const auto from = d.address(operands[1], Space::global);
  const Operand& bytes = operands[2];
  const bool cg = words[2] == "cg";
  if (bytes.kind != Operand::Kind::integer ||
      (bytes.bits != 16 && (cg || (bytes.bits != 4 && bytes.bits != 8)))) {
    d.refuse("bytes of the copy");
  }
  if (!from.wide) d.refuse("a global address has 64 bits");
  op.bytes = static_cast<uint8_t>(bytes.bits);
  op.r[0] = to.reg;
  op.wide_address = to.wide;
  op.imm = to.offset;
  op.r[1] = from.reg;
  op.imm2 = from.offset;
  const bool ignores = plain == 4 && d.type_of(operands[3]) == Type::pred;
  if (ignores) d.refuse("a predicate to ignore the source");
  op.r[2] = plain == 4 ? d.bind(operands[3], 'w') : d.constant(4, bytes.bits);
  op.run = copy_handler();
  op.kind = Kind::async_copy;
  op.space = Space::shared;
  d.emit(op);
}

// ldmatrix.sync.aligned.m8n8.x4{.trans}{.shared}.b16 {...}, [address]
void decode_matrix(Decoder& d, bool loads) {
  const auto& words = d.instruction().words;
  const auto& operands = d.instruction().operands;
  Op op = d.start();
  int count = 0;
  bool transposed = false;
  for (size_t i = 1; i < words.size(); ++i) {
    const auto& word = words[i];
    if (word == "x1")
      count = 1;
    else if (word == "x2")
      count = 2;
    else if (word == "x4")
      count = 4;
    else if (word == "trans")
      transposed = true;
    else if (word != "sync" && word != "aligned" && word != "m8n8" && word != "b16" &&
             !is_space(word, op.space))
      d.refuse("." + word);
  }
  if (count == 0 || operands.size() != 2) d.refuse();
  if (op.space == Space::generic) d.refuse("without .shared");
  const Operand& data = operands[loads ? 0 : 1];
  const std::vector<Operand> parts =
      data.kind == Operand::Kind::vector ? data.parts : std::vector<Operand>{data};
  if (parts.size() != static_cast<size_t>(count)) d.refuse("another number of registers");
  for (int i = 0; i < count; ++i) op.r[loads ? i : i + 1] = d.bind(parts[i], 'w');
  take_address(d, op, operands[loads ? 1 : 0], loads ? static_cast<uint32_t>(count) : 0);
  op.bytes = 16;
  op.control = Control::aligned;
  op.run = matrix_handler(loads, count, transposed);
  op.kind = loads ? Kind::ldmatrix : Kind::shared_store;
  d.emit(op);
}

}  // namespace

bool decode_memory(Decoder& d) {
  const auto& words = d.instruction().words;
  const auto& base = words[0];
  if (base == "ld" || base == "ldu")
    decode_load_store(d, true);
  else if (base == "st")
    decode_load_store(d, false);
  else if (base == "atom")
    decode_atomic(d, true);
  else if (base == "red")
    decode_atomic(d, false);
  else if (base == "ldmatrix")
    decode_matrix(d, true);
  else if (base == "stmatrix")
    decode_matrix(d, false);
  else if (base == "cp" && words.size() > 2 && words[1] == "async" && (words[2] == "ca" || words[2] == "cg"))
    decode_copy(d);
  else if (base == "prefetch" || base == "prefetchu" || base == "applypriority")
    return true;
  else
    return false;
  return true;
}

}  // namespace softgpu
