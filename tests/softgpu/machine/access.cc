#include "machine/access.h"

#include <fmt/format.h>

#include <algorithm>

#include "machine/shared_memory.h"
#include "machine/traffic.h"

namespace softgpu {
namespace {

// Of the kernel's parameters, and of a lane's local memory.
void locate_plain(Machine& m, const Op& op, uint32_t mask, Access& access, const char* space, std::byte* base,
                  uint64_t size, uint64_t per_lane) {
  check_alignment(m, op, mask, access.address, op.bytes);
  for_lanes(mask, [&](int i) {
    if (access.address[i] >= size || size - access.address[i] < op.bytes) {
      m.fault(op, i, "out of bounds",
              fmt::format("{} bytes at {} of {} bytes of {} memory", op.bytes,
                          static_cast<int64_t>(access.address[i]), size, space));
    }
    access.at[i] = base + static_cast<uint64_t>(i) * per_lane + access.address[i];
  });
}

void locate_parameters(Machine& m, const Op& op, uint32_t mask, Access& access) {
  auto* base = const_cast<std::byte*>(m.launch->parameters.data());
  locate_plain(m, op, mask, access, "parameter", base, m.launch->parameters.size(), 0);
}
void locate_local(Machine& m, const Op& op, uint32_t mask, Access& access) {
  locate_plain(m, op, mask, access, "local", m.warp->local, m.program->local_bytes, m.program->local_bytes);
}

// Lanes whose generic address lies in the window, rebased to it.
uint32_t take_window(uint32_t mask, uint64_t window, Access& access) {
  uint32_t inside = 0;
  for_lanes(mask, [&](int i) {
    if (access.address[i] - window >= kWindowBytes) return;
    access.address[i] -= window;
    inside |= 1U << i;
  });
  return inside;
}

void locate_generic(Machine& m, const Op& op, uint32_t mask, Direction direction, Access& access) {
  const uint32_t shared = take_window(mask, kSharedWindow, access);
  const uint32_t local = take_window(mask & ~shared, kLocalWindow, access);
  const uint32_t parameters = take_window(mask & ~shared & ~local, kParameterWindow, access);
  const uint32_t global = mask & ~shared & ~local & ~parameters;
  if (global != 0) locate_global(m, op, global, direction, access);
  if (shared != 0) locate_shared(m, op, shared, direction, access);
  if (local != 0) locate_local(m, op, local, access);
  if (parameters != 0 && direction != Direction::read) {
    m.fault(op, __builtin_ctz(parameters), "out of bounds", "a kernel's parameters cannot be written");
  }
  if (parameters != 0) locate_parameters(m, op, parameters, access);
  access.contiguous = false;
}

}  // namespace

bool follow_each_other(const uint64_t (&address)[kLanes], uint32_t mask, uint32_t bytes) {
  if (mask != kAllLanes) return false;
  uint64_t differs = 0;
  for (int i = 0; i < kLanes; ++i) differs |= address[i] ^ (address[0] + static_cast<uint64_t>(i) * bytes);
  return differs == 0;
}

void check_alignment(const Machine& m, const Op& op, uint32_t mask, const uint64_t (&address)[kLanes],
                     uint32_t bytes) {
  const uint64_t low = bytes - 1;
  uint64_t wrong = 0;
  for (int i = 0; i < kLanes; ++i) wrong |= has(mask, i) ? address[i] & low : 0;
  if (wrong == 0) return;
  for_lanes(mask, [&](int i) {
    if ((address[i] & low) == 0) return;
    m.fault(op, i, "misaligned", fmt::format("address {:#x} is no multiple of {}", address[i], bytes));
  });
}

void addresses(const Machine& m, uint32_t address_register, bool wide, int64_t offset,
               uint64_t (&address)[kLanes]) {
  if (wide) {
    const uint64_t* from = m.reg<uint64_t>(address_register);
    for (int i = 0; i < kLanes; ++i) address[i] = from[i] + static_cast<uint64_t>(offset);
  } else {
    const uint32_t* from = m.reg<uint32_t>(address_register);
    for (int i = 0; i < kLanes; ++i) address[i] = from[i] + static_cast<uint32_t>(offset);
  }
}

void locate_shared(Machine& m, const Op& op, uint32_t mask, Direction direction, Access& access) {
  check_alignment(m, op, mask, access.address, op.bytes);
  SharedMemory& shared = *m.shared;
  const uint32_t warp = m.warp->index;
  const uint64_t size = shared.size();
  auto check = [&](int lane, uint64_t offset, uint32_t bytes) {
    if (offset >= size || size - offset < bytes) {
      m.fault(op, lane, "out of bounds",
              fmt::format("{} bytes at {} of {} bytes of shared memory", bytes, static_cast<int64_t>(offset),
                          size));
    }
    const auto at = static_cast<uint32_t>(offset);
    if (direction != Direction::write && !shared.read(at, bytes, warp, op.synchronises)) {
      const auto problem = shared.problem(at, bytes, warp, false);
      m.fault(op, lane, problem.kind, problem.text);
    }
    if (direction != Direction::read && !shared.write(at, bytes, warp, op.synchronises)) {
      const auto problem = shared.problem(at, bytes, warp, true);
      m.fault(op, lane, problem.kind, problem.text);
    }
  };
  access.contiguous = follow_each_other(access.address, mask, op.bytes) && access.address[0] < size &&
                      size - access.address[0] >= op.bytes * uint64_t{kLanes};
  if (access.contiguous) {
    check(0, access.address[0], op.bytes * kLanes);
  } else {
    for_lanes(mask, [&](int i) { check(i, access.address[i], op.bytes); });
  }
  for_lanes(mask, [&](int i) { access.at[i] = shared.data(access.address[i]); });
  if (direction != Direction::write) m.banks->add(m.counters->shared_loads, mask, access.address, op.bytes);
  if (direction != Direction::read) m.banks->add(m.counters->shared_stores, mask, access.address, op.bytes);
}

void locate(Machine& m, const Op& op, uint32_t mask, Direction direction, Access& access) {
  switch (op.space) {
    case ptx::Space::global:
    case ptx::Space::constant:
      return locate_global(m, op, mask, direction, access);
    case ptx::Space::shared:
      return locate_shared(m, op, mask, direction, access);
    case ptx::Space::param:
      return locate_parameters(m, op, mask, access);
    case ptx::Space::local:
      return locate_local(m, op, mask, access);
    case ptx::Space::generic:
      return locate_generic(m, op, mask, direction, access);
  }
}

}  // namespace softgpu
