#include <fmt/format.h>

#include <cstring>

#include "machine/access.h"
#include "machine/global_shadow.h"
#include "machine/launch_order.h"
#include "machine/traffic.h"

namespace softgpu {
namespace {

constexpr uint64_t kWritten8 = 0x0202020202020202;

// Whether the states of `bytes` bytes all are byte_written.
bool all_written(const uint8_t* state, uint32_t bytes) {
  uint64_t differs = 0;
  if (bytes % 8 != 0) {
    for (uint32_t i = 0; i < bytes; ++i) differs |= state[i] ^ byte_written;
    return differs == 0;
  }
  for (uint32_t i = 0; i < bytes; i += 8) {
    uint64_t eight;
    std::memcpy(&eight, state + i, 8);
    differs |= eight ^ kWritten8;
  }
  return differs == 0;
}

bool all_allocated(const uint8_t* state, uint32_t bytes) {
  bool good = true;
  for (uint32_t i = 0; i < bytes; ++i) good &= state[i] != byte_unallocated;
  return good;
}

[[noreturn]] void refuse(const Machine& m, const Op& op, int lane, uint64_t address, uint32_t bytes) {
  const GlobalMemory& memory = *m.memory;
  if (!memory.allocated(address, bytes)) {
    uint64_t first = address;
    while (first < address + bytes - 1 && memory.allocated(first, 1)) ++first;
    m.fault(op, lane, "out of bounds",
            fmt::format("{} bytes at {:#x}: {}", bytes, address, memory.describe(first)));
  }
  uint64_t first = address;
  while (first < address + bytes - 1 && memory.written(first, 1)) ++first;
  m.fault(op, lane, "uninitialised", memory.describe(first) + ", which nothing has written");
}

// An access that may synchronise: it sees what was published at its address, and publishes what was fenced.
void synchronise(Machine& m, const Op& op, uint32_t mask, Direction direction, const Access& access) {
  LaunchOrder& order = *m.order;
  const uint32_t warp = m.warp->index;
  if (op.releases) {
    order.fence(warp);
    m.clock->tick();
  }
  for_lanes(mask, [&](int i) {
    if (direction != Direction::write) order.strong_read(warp, access.address[i]);
    if (direction != Direction::read)
      order.strong_write(warp, access.address[i], direction == Direction::write);
  });
  if (op.acquires) order.acquire(warp);
}

// One range of bytes, of one lane or of all in a row.
void check_range(Machine& m, const Op& op, int lane, Direction direction, uint64_t address, uint32_t bytes) {
  GlobalMemory& memory = *m.memory;
  const uint64_t offset = address - memory.base;
  const uint32_t warp = m.warp->index;
  if (offset >= memory.size || memory.size - offset < bytes) refuse(m, op, lane, address, bytes);
  uint8_t* state = memory.state + offset;
  auto race = [&](bool writes) {
    m.fault(
        op, lane, "race",
        memory.describe(address) + ": " + m.global->problem(offset, bytes, warp, writes, op.synchronises));
  };
  if (direction != Direction::write) {
    if (!all_written(state, bytes)) refuse(m, op, lane, address, bytes);
    if (!m.global->read(offset, bytes, warp, op.synchronises)) race(false);
  }
  if (direction != Direction::read) {
    if (!all_allocated(state, bytes)) refuse(m, op, lane, address, bytes);
    if (!m.global->write(offset, bytes, warp, op.synchronises)) race(true);
    std::memset(state, byte_written, bytes);
  }
}

// Whether the range can be looked at as one: then what is wrong is looked for lane by lane.
bool in_memory(const GlobalMemory& memory, uint64_t address, uint32_t bytes, Direction direction) {
  const uint64_t offset = address - memory.base;
  if (offset >= memory.size || memory.size - offset < bytes) return false;
  return direction == Direction::write ? all_allocated(memory.state + offset, bytes)
                                       : all_written(memory.state + offset, bytes);
}

void locate_bytes(Machine& m, const Op& op, uint32_t mask, Direction direction, uint32_t bytes,
                  Access& access) {
  if (op.synchronises && m.program->orders) synchronise(m, op, mask, direction, access);
  const uint32_t together = bytes * kLanes;
  access.contiguous = follow_each_other(access.address, mask, bytes) && direction != Direction::both &&
                      in_memory(*m.memory, access.address[0], together, direction);
  if (access.contiguous) {
    check_range(m, op, 0, direction, access.address[0], together);
  } else {
    for_lanes(mask, [&](int i) { check_range(m, op, i, direction, access.address[i], bytes); });
  }
  for_lanes(mask, [&](int i) { access.at[i] = m.memory->data + (access.address[i] - m.memory->base); });
  if (direction != Direction::write) count_global(m.counters->global_loads, mask, access.address, bytes);
  if (direction != Direction::read) count_global(m.counters->global_stores, mask, access.address, bytes);
}

}  // namespace

void locate_global(Machine& m, const Op& op, uint32_t mask, Direction direction, Access& access) {
  check_alignment(m, op, mask, access.address, op.bytes);
  locate_bytes(m, op, mask, direction, op.bytes, access);
}

void locate_global_bytes(Machine& m, const Op& op, uint32_t mask, uint32_t bytes, Access& access) {
  locate_bytes(m, op, mask, Direction::read, bytes, access);
}

}  // namespace softgpu
