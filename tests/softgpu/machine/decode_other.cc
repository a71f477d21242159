#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "machine/convert.h"
#include "machine/decoder.h"
#include "machine/lanes.h"
#include "machine/machine.h"
#include "machine/move.h"

namespace softgpu {
namespace {

using ptx::Operand;
using ptx::Space;

int width_of_type(const std::string& type) {
  if (type.size() < 2) return 0;
  const std::string bits = type.substr(1);
  return bits == "16" ? 2 : bits == "32" ? 4 : bits == "64" ? 8 : 0;
}
char letter(int bytes) { return bytes == 2 ? 'h' : bytes == 4 ? 'w' : 'd'; }

void decode_move(Decoder& d) {
  const auto& operands = d.instruction().operands;
  const int bytes = width_of_type(d.instruction().words.back());
  if (d.instruction().words.size() != 2 || operands.size() != 2 || bytes == 0) d.refuse();
  Op op = d.start();
  op.kind = Kind::move;
  const Operand& to = operands[0];
  const Operand& from = operands[1];
  if (to.kind == Operand::Kind::vector) {
    const int parts = static_cast<int>(to.parts.size());
    op.run = unpack_handler(bytes, parts);
    if (op.run == nullptr) d.refuse();
    for (int i = 0; i < parts; ++i) op.r[i] = d.bind(to.parts[i], letter(bytes / parts));
    op.r[parts] = d.bind(from, letter(bytes));
  } else if (from.kind == Operand::Kind::vector) {
    const int parts = static_cast<int>(from.parts.size());
    op.run = pack_handler(bytes, parts);
    if (op.run == nullptr) d.refuse();
    op.r[0] = d.bind(to, letter(bytes));
    for (int i = 0; i < parts; ++i) op.r[1 + i] = d.bind(from.parts[i], letter(bytes / parts));
  } else {
    op.r[0] = d.bind(to, letter(bytes));
    const bool clock = from.kind == Operand::Kind::special &&
                       (from.text == "%clock" || from.text == "%clock64" || from.text == "%globaltimer");
    op.run = clock ? clock_handler(bytes) : move_handler(bytes);
    if (!clock) op.r[1] = d.bind(from, letter(bytes));
  }
  d.emit(op);
}

// cvta{.to}.space.u64 d, a
void decode_generic_address(Decoder& d) {
  const auto& words = d.instruction().words;
  const auto& operands = d.instruction().operands;
  const bool to_space = words.size() == 4 && words[1] == "to";
  if ((!to_space && words.size() != 3) || operands.size() != 2) d.refuse();
  const std::string& space = words[words.size() - 2];
  const int bytes = width_of_type(words.back());
  uint64_t window = 0;
  if (space == "shared" || space == "shared::cta")
    window = kSharedWindow;
  else if (space == "local")
    window = kLocalWindow;
  else if (space == "param")
    window = kParameterWindow;
  else if (space != "global" && space != "const")
    d.refuse();
  if (bytes != 8) d.refuse();
  Op op = d.start();
  op.kind = Kind::move;
  op.run = offset_handler(bytes);
  op.imm = static_cast<int64_t>(to_space ? -window : window);
  op.r[0] = d.bind(operands[0], 'd');
  op.r[1] = d.bind(operands[1], 'd');
  d.emit(op);
}

void decode_in_space(Decoder& d) {
  Op op = d.start();
  const auto& space = d.instruction().words.back();
  if (space == "shared" || space == "shared::cta")
    op.space = Space::shared;
  else if (space == "local")
    op.space = Space::local;
  else if (space == "global")
    op.space = Space::global;
  else
    d.refuse();
  op.kind = Kind::compare;
  op.run = in_space_handler();
  op.r[0] = d.bind(d.instruction().operands.at(0), 'p');
  op.r[1] = d.bind(d.instruction().operands.at(1), 'd');
  d.emit(op);
}

// True if it is a conversion between integers.
bool decode_convert(Decoder& d) {
  const auto& words = d.instruction().words;
  const auto& operands = d.instruction().operands;
  const bool saturates = words.size() == 4 && words[1] == "sat";
  if ((words.size() != 3 && !saturates) || operands.size() != 2) return false;
  const int to = ptx::bytes(d.type_of(operands[0]));
  const bool constant = operands[1].kind != Operand::Kind::reg;
  const int from = constant ? std::max(width_of_type(words.back()), 2) : ptx::bytes(d.type_of(operands[1]));
  Op op = d.start();
  op.run = integer_convert_handler(words[words.size() - 2], words.back(), saturates, to, from);
  if (op.run == nullptr) return false;
  op.kind = Kind::convert;
  op.r[0] = d.bind(operands[0], letter(to));
  op.r[1] = d.bind(operands[1], letter(from));
  d.emit(op);
  return true;
}

void decode_branch(Decoder& d) {
  const auto& words = d.instruction().words;
  const bool uniform = words.size() == 2 && words[1] == "uni";
  if (words.size() != 1 && !uniform) d.refuse();
  Op op = d.start();
  op.control = Control::branch;
  op.kind = Kind::branch;
  op.target = d.instruction().target;
  d.emit(op);
}

// brx.idx{.uni} %r, list
void decode_indexed_branch(Decoder& d) {
  Op op = d.start();
  op.control = Control::indexed_branch;
  op.kind = Kind::branch;
  op.r[0] = d.bind(d.instruction().operands.at(0), 'w');
  op.imm = static_cast<int64_t>(d.instruction().targets.size());
  op.target = d.add_targets(d.instruction().targets);
  d.emit(op);
}

// bar.red.popc.u32 d, a{, b}, {!}c; bar.red.and.pred p, a{, b}, {!}c; barrier.cta.red...
void decode_barrier_reduction(Decoder& d) {
  const auto& words = d.instruction().words;
  const auto& operands = d.instruction().operands;
  Op op = d.start();
  for (size_t i = 1; i < words.size(); ++i) {
    if (words[i] == "popc")
      op.imm2 = 1;
    else if (words[i] == "and")
      op.imm2 = 2;
    else if (words[i] == "or")
      op.imm2 = 3;
    else if (words[i] != "cta" && words[i] != "red" && words[i] != "aligned" && words[i] != "u32" &&
             words[i] != "pred")
      d.refuse("." + words[i]);
  }
  if (op.imm2 == 0 || operands.size() < 3 || operands.size() > 4) d.refuse();
  op.control = Control::block_barrier;
  op.kind = Kind::barrier;
  op.r[0] = d.bind(operands[1], 'w');
  op.r[1] = operands.size() == 4 ? d.bind(operands[2], 'w') : d.constant(4, 0);
  op.r[2] = d.bind(operands.back(), 'p');
  op.r[3] = d.bind(operands[0], op.imm2 == 1 ? 'w' : 'p');
  d.emit(op);
}

// bar.sync a{, b}; barrier{.cta}.sync{.aligned} a{, b}; bar.arrive a, b
void decode_barrier(Decoder& d) {
  const auto& words = d.instruction().words;
  const auto& operands = d.instruction().operands;
  if (std::find(words.begin(), words.end(), "red") != words.end()) return decode_barrier_reduction(d);
  const bool arrives = std::find(words.begin(), words.end(), "arrive") != words.end();
  for (size_t i = 1; i < words.size(); ++i) {
    if (words[i] != "cta" && words[i] != "sync" && words[i] != "arrive" && words[i] != "aligned")
      d.refuse("." + words[i]);
  }
  if (operands.empty() || operands.size() > 2 || (arrives && operands.size() != 2)) d.refuse();
  Op op = d.start();
  op.control = Control::block_barrier;
  op.kind = Kind::barrier;
  op.r[0] = d.bind(operands[0], 'w');
  op.r[1] = operands.size() == 2 ? d.bind(operands[1], 'w') : d.constant(4, 0);
  op.imm = arrives ? 1 : 0;
  d.emit(op);
}

}  // namespace

bool decode_other(Decoder& d) {
  const auto& words = d.instruction().words;
  const auto& base = words[0];
  if (base == "mov" && words.back() != "pred")
    decode_move(d);
  else if (base == "cvta")
    decode_generic_address(d);
  else if (base == "isspacep")
    decode_in_space(d);
  else if (base == "cvt")
    return decode_convert(d);
  else if (base == "bra")
    decode_branch(d);
  else if (base == "brx")
    decode_indexed_branch(d);
  else if ((base == "bar" && words.size() > 1 && words[1] != "warp") || base == "barrier")
    decode_barrier(d);
  else
    return false;
  return true;
}

}  // namespace softgpu
