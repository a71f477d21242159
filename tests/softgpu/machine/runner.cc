#include "machine/runner.h"

#include <fmt/format.h>

#include <algorithm>

#include "machine/block_clock.h"
#include "machine/launch_order.h"

namespace softgpu {
namespace {

// A warp that runs this long gives way: another may have to write what it polls.
constexpr uint64_t kTurn = 1 << 16;
// Instructions of one block's warps after which it is taken to run for ever.
constexpr uint64_t kBudget = uint64_t{1} << 32;
constexpr size_t kBarriers = 16;

}  // namespace

void Runner::run_block() {
  barriers_.assign(kBarriers, {});
  budget_ = kBudget;
  for (;;) {
    bool ran = false;
    bool left = false;
    for (Warp& warp : m_.warps) {
      if (warp.state == Warp::State::ready) {
        run_warp(warp);
        ran = true;
      }
      left = left || warp.state != Warp::State::done;
    }
    if (!left) return;
    if (!ran) nobody_goes_on();
  }
}

void Runner::insert(Warp& warp, Group group) {
  for (Group& other : warp.groups) {
    if (other.pc != group.pc) continue;
    other.mask |= group.mask;
    other.waits = false;  // who waited for these lanes looks again
    return;
  }
  warp.groups.push_back(group);
}

size_t Runner::choose(Warp& warp) {
  size_t best = warp.groups.size();
  for (size_t i = 0; i < warp.groups.size(); ++i) {
    if (warp.groups[i].waits) continue;
    if (best == warp.groups.size() || warp.groups[i].pc < warp.groups[best].pc) best = i;
  }
  if (best == warp.groups.size()) {
    const Group& group = warp.groups.front();
    const Op& op = m_.program->ops[group.pc];
    m_.fault(op, __builtin_ctz(group.mask),
             op.control == Control::block_barrier ? "divergent barrier" : "deadlock",
             fmt::format("lanes {:#x} wait here for lanes that wait elsewhere ({:#x})", group.mask,
                         warp.live & ~group.mask));
  }
  return best;
}

void Runner::run_warp(Warp& warp) {
  m_.warp = &warp;
  const uint64_t end = budget_ > kTurn ? budget_ - kTurn : 0;
  while (warp.state == Warp::State::ready && budget_ > end) {
    if (warp.groups.empty()) {
      warp.state = Warp::State::done;
      return;
    }
    const size_t index = choose(warp);
    const Group group = warp.groups[index];
    warp.groups.erase(warp.groups.begin() + static_cast<std::ptrdiff_t>(index));
    run_group(warp, group);
  }
  if (budget_ == 0) {
    const Group& group = warp.groups.front();
    m_.fault(m_.program->ops[group.pc], __builtin_ctz(group.mask), "deadlock",
             fmt::format("the block has done {} instructions and does not end", kBudget));
  }
}

void Runner::run_group(Warp& warp, Group group) {
  Program& program = *m_.program;
  uint32_t pc = group.pc;
  uint32_t mask = group.mask;
  // The nearest instruction ahead at which other lanes are: there they join.
  auto next_meeting = [&] {
    uint32_t nearest = UINT32_MAX;
    for (const Group& other : warp.groups) {
      if (other.pc > pc) nearest = std::min(nearest, other.pc);
    }
    return nearest;
  };
  uint32_t meeting = next_meeting();
  uint64_t budget = std::min(budget_, kTurn);
  budget_ -= budget;
  auto leave = [&](uint32_t at, bool waits) {
    budget_ += budget;
    if (mask != 0) {
      if (waits)
        warp.groups.push_back({at, mask, true});
      else
        insert(warp, {at, mask, false});
    }
  };
  while (pc < meeting && budget > 0) {
    const Op& op = program.ops[pc];
    uint32_t active = mask;
    if (op.guard >= 0) active &= m_.predicate(static_cast<uint32_t>(op.guard)) ^ op.guard_flip;
    --budget;
    ++program.warp_counts[pc];
    program.thread_counts[pc] += static_cast<uint64_t>(__builtin_popcount(active));
    switch (op.control) {
      case Control::plain:
        if (active != 0) op.run(m_, op, active);
        ++pc;
        break;
      case Control::branch:
        if (active == mask) {
          pc = op.target;
        } else if (active == 0) {
          ++pc;
          break;
        } else {
          insert(warp, {op.target, active, false});
          mask &= ~active;
          ++pc;
          // The other lanes may be behind: then they go first.
          if (op.target < pc) return leave(pc, false);
        }
        meeting = next_meeting();
        for (const Group& other : warp.groups) {
          if (other.pc == pc || (!other.waits && other.pc < pc)) return leave(pc, false);
        }
        break;
      case Control::indexed_branch: {
        const uint32_t* index = m_.reg<uint32_t>(op.r[0]);
        for_lanes(active, [&](int i) {
          if (index[i] >= static_cast<uint64_t>(op.imm))
            m_.fault(op, i, "out of bounds", "an index behind the list");
          insert(warp, {program.targets[op.target + index[i]], 1U << i, false});
        });
        mask &= ~active;
        return leave(pc + 1, false);
      }
      case Control::call:
        m_.fault(op, -1, "unsupported", "a call");
      case Control::exit:
        warp.live &= ~active;
        mask &= ~active;
        for (Group& other : warp.groups) other.waits = false;  // no longer for these
        if (mask == 0) return leave(pc, false);
        ++pc;
        break;
      case Control::block_barrier:
        if (active == 0) {
          ++pc;
          break;
        }
        if (mask != warp.live) return leave(pc, true);
        arrive(warp, op, active);
        return leave(pc + 1, false);
      case Control::converge:
        if (active == 0) {
          ++pc;
          break;
        }
        if (!members_present(warp, op, active, mask)) return leave(pc, true);
        op.run(m_, op, active);
        ++pc;
        break;
      case Control::aligned:
        if (active != 0 && mask != warp.live) return leave(pc, true);
        if (active != 0) op.run(m_, op, active);
        ++pc;
        break;
    }
  }
  leave(pc, false);
}

bool Runner::members_present(const Warp& warp, const Op& op, uint32_t active, uint32_t running) {
  const uint32_t* masks = m_.reg<uint32_t>(static_cast<uint32_t>(op.imm2));
  const uint32_t members = masks[__builtin_ctz(active)];
  for_lanes(active, [&](int i) {
    if (masks[i] != members) m_.fault(op, i, "inactive lane", "lanes say different member masks");
  });
  if ((active & ~members) != 0) {
    m_.fault(op, __builtin_ctz(active & ~members), "inactive lane",
             fmt::format("the lane takes part and is not in the member mask {:#x}", members));
  }
  const uint32_t needed = members & warp.born;
  if (needed == active) return true;
  if ((needed & ~warp.live) != 0) {
    m_.fault(op, __builtin_ctz(active), "inactive lane",
             fmt::format("the member mask {:#x} names lanes that have exited ({:#x})", members,
                         needed & ~warp.live));
  }
  if ((needed & running & ~active) != 0) {
    m_.fault(op, __builtin_ctz(active), "inactive lane",
             fmt::format("the member mask {:#x} names lanes whose guard is false ({:#x})", members,
                         needed & running & ~active));
  }
  return false;
}

// bar.sync of the whole block means each thread that it was launched with.
void Runner::arrive(Warp& warp, const Op& op, uint32_t mask) {
  const int lane = __builtin_ctz(mask);
  const uint32_t id = m_.reg<uint32_t>(op.r[0])[lane];
  const uint32_t count = m_.reg<uint32_t>(op.r[1])[lane];
  if (id >= kBarriers) m_.fault(op, lane, "divergent barrier", fmt::format("there is no barrier {}", id));
  if (mask != warp.live) {
    m_.fault(op, lane, "divergent barrier",
             fmt::format("lanes {:#x} of the warp are at the barrier, lanes {:#x} are elsewhere", mask,
                         warp.live & ~mask));
  }
  const Dim3& block = m_.launch->block;
  const uint32_t threads = block.x * block.y * block.z;
  const uint32_t expected = count == 0 ? threads : count;
  if (count % kLanes != 0)
    m_.fault(op, lane, "divergent barrier", fmt::format("a count of {} is no multiple of 32", count));
  Barrier& barrier = barriers_[id];
  if (barrier.arrived != 0 && barrier.expected != expected) {
    m_.fault(op, lane, "divergent barrier",
             fmt::format("barrier {} expects {} threads here and {} at PTX line {}", id, expected,
                         barrier.expected, barrier.op->source->line));
  }
  if (barrier.arrived != 0 && count == 0 && barrier.op->source != op.source &&
      (barrier.op->source->source_line != op.source->source_line ||
       barrier.op->source->file != op.source->file)) {
    m_.fault(op, lane, "divergent barrier",
             fmt::format("other warps wait at the barrier of PTX line {} (source line {})",
                         barrier.op->source->line, barrier.op->source->source_line));
  }
  barrier.op = &op;
  barrier.expected = expected;
  barrier.arrived |= 1U << warp.index;
  barrier.threads += count == 0 ? static_cast<uint32_t>(__builtin_popcount(mask)) : kLanes;
  if (op.imm == 0) {
    barrier.waiting |= 1U << warp.index;
    warp.state = Warp::State::at_barrier;
    warp.barrier = &op;
  }
  if (op.imm2 != 0) barrier.votes += static_cast<uint32_t>(__builtin_popcount(m_.predicate(op.r[2]) & mask));
  if (barrier.threads < expected) return;
  if (barrier.threads > expected) m_.fault(op, lane, "divergent barrier", "more threads than it expects");
  release(barrier);
}

void Runner::release(Barrier& barrier) {
  m_.clock->barrier(barrier.arrived, barrier.waiting);
  m_.order->barrier(barrier.arrived, barrier.waiting);
  Warp* const current = m_.warp;
  for_lanes(barrier.waiting, [&](int w) {
    Warp& warp = m_.warps[w];
    warp.state = Warp::State::ready;
    const Op& op = *warp.barrier;
    if (op.imm2 == 0) return;
    m_.warp = &warp;
    if (op.imm2 == 1) {
      each_lane(m_.reg<uint32_t>(op.r[3]), warp.live, [&](int) { return barrier.votes; });
    } else {
      const bool yes = op.imm2 == 2 ? barrier.votes == barrier.threads : barrier.votes != 0;
      m_.set_predicate(op.r[3], warp.live, yes ? kAllLanes : 0);
    }
  });
  m_.warp = current;
  barrier = {};
}

void Runner::nobody_goes_on() {
  std::string text;
  const Op* op = nullptr;
  for (size_t id = 0; id < barriers_.size(); ++id) {
    const Barrier& barrier = barriers_[id];
    if (barrier.arrived == 0) continue;
    op = barrier.op;
    text += fmt::format("{} of {} threads are at barrier {} (PTX line {}, source line {}); ", barrier.threads,
                        barrier.expected, id, op->source->line, op->source->source_line);
  }
  for (Warp& warp : m_.warps) {
    if (warp.live == warp.born) continue;
    text += fmt::format("lanes {:#x} of warp {} have exited; ", warp.born & ~warp.live, warp.index);
  }
  for (Warp& warp : m_.warps) {
    if (warp.state == Warp::State::at_barrier) m_.warp = &warp;
  }
  m_.fault(*op, -1, "divergent barrier", text + "nobody can go on");
}

}  // namespace softgpu
