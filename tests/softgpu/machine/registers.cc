#include "machine/registers.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string_view>

#include "machine/lanes.h"

namespace softgpu {
namespace {

using ptx::Instruction;
using ptx::Operand;

using Bits = std::vector<uint64_t>;
bool test(const Bits& bits, uint32_t i) { return ((bits[i / 64] >> (i % 64)) & 1) != 0; }
void set(Bits& bits, uint32_t i) { bits[i / 64] |= uint64_t{1} << (i % 64); }

void collect(const Operand& operand, std::vector<uint32_t>& into) {
  if (operand.index >= 0) into.push_back(static_cast<uint32_t>(operand.index));
  for (const auto& part : operand.parts) collect(part, into);
}

// Whether the first operand is written.
bool has_destination(const Instruction& instruction) {
  static const std::set<std::string_view> without{"st",
                                                  "red",
                                                  "bar",
                                                  "barrier",
                                                  "bra",
                                                  "brx",
                                                  "ret",
                                                  "exit",
                                                  "cp",
                                                  "membar",
                                                  "fence",
                                                  "prefetch",
                                                  "prefetchu",
                                                  "trap",
                                                  "nanosleep",
                                                  "stmatrix",
                                                  "griddepcontrol",
                                                  "applypriority",
                                                  "discard"};
  const auto& words = instruction.words;
  if (std::find(words.begin() + 1, words.end(), "red") != words.end()) return true;  // bar.red
  return !instruction.operands.empty() && !without.contains(words[0]);
}

struct Use {
  std::vector<uint32_t> reads, writes;
  bool certain = true;  // writes happen: there is no guard
};

Use use_of(const Instruction& instruction) {
  Use use;
  const bool writes = has_destination(instruction);
  for (size_t i = 0; i < instruction.operands.size(); ++i) {
    collect(instruction.operands[i], writes && i == 0 ? use.writes : use.reads);
  }
  if (instruction.guard >= 0) {
    use.reads.push_back(static_cast<uint32_t>(instruction.guard));
    use.certain = false;
  }
  return use;
}

struct Block {
  uint32_t first = 0, end = 0;
  std::vector<uint32_t> next;
  Bits live_in, live_out, reads, writes;  // reads: before any write in the block
};

bool ends_block(const Instruction& instruction) {
  const auto& base = instruction.words[0];
  return base == "bra" || base == "brx" || base == "ret" || base == "exit";
}

std::vector<Block> blocks_of(const ptx::Function& function) {
  const auto& instructions = function.instructions;
  std::set<uint32_t> starts{0};
  for (uint32_t i = 0; i < instructions.size(); ++i) {
    if (!ends_block(instructions[i])) continue;
    starts.insert(i + 1);
    if (instructions[i].words[0] == "bra") starts.insert(instructions[i].target);
    for (const uint32_t target : instructions[i].targets) starts.insert(target);
  }
  std::vector<Block> blocks;
  std::map<uint32_t, uint32_t> block_at;
  const auto count = static_cast<uint32_t>(instructions.size());
  for (auto start = starts.begin(); start != starts.end() && *start < count; ++start) {
    const auto next = std::next(start);
    block_at[*start] = static_cast<uint32_t>(blocks.size());
    Block block;
    block.first = *start;
    block.end = next == starts.end() ? count : std::min(*next, count);
    blocks.push_back(std::move(block));
  }
  for (Block& block : blocks) {
    const Instruction& last = instructions[block.end - 1];
    auto lead_to = [&](uint32_t instruction) {
      const auto found = block_at.find(instruction);
      if (found != block_at.end()) block.next.push_back(found->second);
    };
    if (last.words[0] == "bra") lead_to(last.target);
    for (const uint32_t target : last.targets) lead_to(target);
    if (!ends_block(last) || last.guard >= 0) lead_to(block.end);
  }
  return blocks;
}

// Which registers are needed where blocks begin and end (the usual backward data flow).
void find_live(std::vector<Block>& blocks, const std::vector<Use>& uses, size_t registers) {
  const size_t words = (registers + 63) / 64;
  for (Block& block : blocks) {
    for (Bits* bits : {&block.live_in, &block.live_out, &block.reads, &block.writes}) bits->assign(words, 0);
    for (uint32_t i = block.first; i < block.end; ++i) {
      for (const uint32_t r : uses[i].reads) {
        if (!test(block.writes, r)) set(block.reads, r);
      }
      for (const uint32_t r : uses[i].writes) {
        if (uses[i].certain)
          set(block.writes, r);
        else if (!test(block.writes, r))
          set(block.reads, r);  // what was there may stay
      }
    }
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t b = blocks.size(); b-- > 0;) {
      Block& block = blocks[b];
      for (size_t w = 0; w < words; ++w) {
        for (const uint32_t next : block.next) block.live_out[w] |= blocks[next].live_in[w];
        const uint64_t in = block.reads[w] | (block.live_out[w] & ~block.writes[w]);
        changed = changed || in != block.live_in[w];
        block.live_in[w] = in;
      }
    }
  }
}

struct Interval {
  uint32_t reg = 0, first = UINT32_MAX, last = 0;
  void include(uint32_t at) {
    first = std::min(first, at);
    last = std::max(last, at);
  }
};

std::vector<Interval> intervals_of(const std::vector<Block>& blocks, const std::vector<Use>& uses,
                                   size_t registers) {
  std::vector<Interval> intervals(registers);
  for (uint32_t r = 0; r < registers; ++r) intervals[r].reg = r;
  for (const Block& block : blocks) {
    for (uint32_t r = 0; r < registers; ++r) {
      if (test(block.live_in, r)) intervals[r].include(block.first);
      if (test(block.live_out, r)) intervals[r].include(block.end - 1);
    }
    for (uint32_t i = block.first; i < block.end; ++i) {
      for (const uint32_t r : uses[i].reads) intervals[r].include(i);
      for (const uint32_t r : uses[i].writes) intervals[r].include(i);
    }
  }
  std::erase_if(intervals, [](const Interval& interval) { return interval.first == UINT32_MAX; });
  std::sort(intervals.begin(), intervals.end(), [](const Interval& a, const Interval& b) {
    return a.first != b.first ? a.first < b.first : a.reg < b.reg;
  });
  return intervals;
}

uint32_t bytes_of(ptx::Type type) {
  return type == ptx::Type::pred ? 4 : static_cast<uint32_t>(std::max(ptx::bytes(type), 2) * kLanes);
}

}  // namespace

std::vector<uint32_t> place_registers(const ptx::Function& function, uint32_t& bytes) {
  const size_t registers = function.registers.size();
  std::vector<Use> uses;
  uses.reserve(function.instructions.size());
  for (const auto& instruction : function.instructions) uses.push_back(use_of(instruction));
  std::vector<Block> blocks = blocks_of(function);
  find_live(blocks, uses, registers);

  std::vector<uint32_t> offsets(registers, 0);
  std::map<uint32_t, std::vector<uint32_t>> free;  // by bytes: places that nobody needs now
  std::multimap<uint32_t, uint32_t> ends;          // last instruction -> register
  for (const Interval& interval : intervals_of(blocks, uses, registers)) {
    while (!ends.empty() && ends.begin()->first < interval.first) {
      const uint32_t done = ends.begin()->second;
      free[bytes_of(function.registers[done].type)].push_back(offsets[done]);
      ends.erase(ends.begin());
    }
    const uint32_t size = bytes_of(function.registers[interval.reg].type);
    std::vector<uint32_t>& places = free[size];
    if (places.empty()) {
      // Predicates come 64 at a time, so that everything else stays aligned.
      const uint32_t step = std::max<uint32_t>(size, 4 * 64);
      for (uint32_t at = step; at >= size; at -= size) places.push_back(bytes + at - size);
      bytes += step;
    }
    offsets[interval.reg] = places.back();
    places.pop_back();
    ends.emplace(interval.last, interval.reg);
  }
  return offsets;
}

}  // namespace softgpu
