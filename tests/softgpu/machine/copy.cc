// cp.async and its groups (PTX ISA 9.7.9.25), ldmatrix and stmatrix (9.7.14.5.15).

#include "machine/copy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "machine/access.h"
#include "machine/forms.h"
#include "machine/shared_memory.h"
#include "machine/traffic.h"

namespace softgpu {
namespace {

void read_source(Machine& m, const Op& op, uint32_t mask, PendingCopy& copy) {
  const uint32_t* sizes = m.reg<uint32_t>(op.r[2]);
  Access source;
  addresses(m, op.r[1], true, op.imm2, source.address);
  // Lanes by how many bytes they read; none of them is nothing to check.
  uint32_t left = mask;
  while (left != 0) {
    const int first = __builtin_ctz(left);
    uint32_t same = 0;
    for_lanes(left, [&](int i) { same |= sizes[i] == sizes[first] ? 1U << i : 0; });
    left &= ~same;
    const uint32_t bytes = sizes[first];
    if (bytes > op.bytes)
      m.fault(op, first, "out of bounds",
              fmt::format("a source of {} bytes for a copy of {}", bytes, op.bytes));
    if (bytes < op.bytes) for_lanes(same, [&](int i) { std::memset(copy.data[i], 0, 16); });
    if (bytes == 0) continue;
    check_alignment(m, op, same, source.address, op.bytes);
    locate_global_bytes(m, op, same, bytes, source);
    for_lanes(same, [&](int i) { std::memcpy(copy.data[i], source.at[i], bytes); });
  }
}

void copy_async(Machine& m, const Op& op, uint32_t mask) {
  Warp& warp = *m.warp;
  uint64_t to[kLanes];
  addresses(m, op.r[0], op.wide_address, op.imm, to);
  if (warp.copies_used == warp.copies.size()) warp.copies.emplace_back();
  PendingCopy& copy = warp.copies[warp.copies_used++];
  copy.mask = mask;
  copy.bytes = op.bytes;
  read_source(m, op, mask, copy);
  check_alignment(m, op, mask, to, op.bytes);
  for_lanes(mask, [&](int i) {
    if (to[i] >= m.shared->size() || m.shared->size() - to[i] < op.bytes) {
      m.fault(op, i, "out of bounds",
              fmt::format("{} bytes at {} of {} bytes of shared memory", op.bytes, to[i], m.shared->size()));
    }
    copy.destination[i] = static_cast<uint32_t>(to[i]);
    copy.group[i] = warp.committed[i];
    if (!m.shared->start_copy(copy.destination[i], op.bytes, warp.index)) {
      const auto problem = m.shared->problem(copy.destination[i], op.bytes, warp.index, true);
      m.fault(op, i, problem.kind, problem.text);
    }
  });
  m.banks->add(m.counters->shared_stores, mask, to, op.bytes);
}

// What lanes of `mask` have in groups before `first_kept[lane]` lands.
template <class F>
void land(Machine& m, uint32_t mask, F first_kept) {
  Warp& warp = *m.warp;
  size_t kept = 0;
  for (size_t c = 0; c < warp.copies_used; ++c) {
    PendingCopy& copy = warp.copies[c];
    for_lanes(copy.mask & mask, [&](int i) {
      if (copy.group[i] >= first_kept(i)) return;
      std::memcpy(m.shared->data(copy.destination[i]), copy.data[i], copy.bytes);
      m.shared->land(copy.destination[i], copy.bytes, warp.index);
      copy.mask &= ~(1U << i);
    });
    if (copy.mask == 0) continue;
    if (kept != c) std::swap(warp.copies[kept], copy);
    ++kept;
  }
  warp.copies_used = kept;
}

void commit_group(Machine& m, const Op& /*op*/, uint32_t mask) {
  for_lanes(mask, [&](int i) { ++m.warp->committed[i]; });
}
void wait_group(Machine& m, const Op& op, uint32_t mask) {
  const auto pending = static_cast<uint32_t>(op.imm);
  const Warp& warp = *m.warp;
  land(m, mask, [&](int i) { return warp.committed[i] > pending ? warp.committed[i] - pending : 0; });
}
void wait_all(Machine& m, const Op& /*op*/, uint32_t mask) {
  land(m, mask, [](int) { return UINT32_MAX; });
}

// Rows of a matrix: lane 8k + i has the address of row i of matrix k. Registers of lane l hold row l/4,
// columns 2(l%4) and the next; transposed, column l/4 of those rows.
void locate_rows(Machine& m, const Op& op, uint32_t mask, uint32_t address_register, int count,
                 Direction direction, Access& rows) {
  if (mask != kAllLanes) m.fault(op, __builtin_ctz(mask), "inactive lane", "not all 32 lanes take part");
  addresses(m, address_register, op.wide_address, op.imm, rows.address);
  const uint32_t used = count == 4 ? kAllLanes : (1U << (8 * count)) - 1;
  locate_shared(m, op, used, direction, rows);
}

template <int Count, bool Transposed>
void load_matrix(Machine& m, const Op& op, uint32_t mask) {
  Access rows;
  locate_rows(m, op, mask, op.r[Count], Count, Direction::read, rows);
  for (int k = 0; k < Count; ++k) {
    uint32_t* d = m.reg<uint32_t>(op.r[k]);
    if constexpr (!Transposed) {
      for (int row = 0; row < 8; ++row) std::memcpy(d + 4 * row, rows.at[8 * k + row], 16);
    } else {
      uint16_t matrix[8][8];
      for (int row = 0; row < 8; ++row) std::memcpy(matrix[row], rows.at[8 * k + row], 16);
      for (int lane = 0; lane < kLanes; ++lane) {
        const int column = lane / 4;
        const int row = 2 * (lane % 4);
        d[lane] = matrix[row][column] | uint32_t{matrix[row + 1][column]} << 16;
      }
    }
  }
}

template <int Count, bool Transposed>
void store_matrix(Machine& m, const Op& op, uint32_t mask) {
  Access rows;
  locate_rows(m, op, mask, op.r[0], Count, Direction::write, rows);
  for (int k = 0; k < Count; ++k) {
    const uint32_t* s = m.reg<uint32_t>(op.r[1 + k]);
    uint16_t matrix[8][8];
    for (int lane = 0; lane < kLanes; ++lane) {
      const int along = lane / 4;
      const int across = 2 * (lane % 4);
      for (int half = 0; half < 2; ++half) {
        const auto value = static_cast<uint16_t>(s[lane] >> (16 * half));
        (Transposed ? matrix[across + half][along] : matrix[along][across + half]) = value;
      }
    }
    for (int row = 0; row < 8; ++row) std::memcpy(rows.at[8 * k + row], matrix[row], 16);
  }
}

template <int Count>
Handler matrix_of(bool loads, bool transposed) {
  if (loads) return transposed ? load_matrix<Count, true> : load_matrix<Count, false>;
  return transposed ? store_matrix<Count, true> : store_matrix<Count, false>;
}

}  // namespace

Handler copy_handler() { return copy_async; }

Handler matrix_handler(bool loads, int count, bool transposed) {
  return count == 1   ? matrix_of<1>(loads, transposed)
         : count == 2 ? matrix_of<2>(loads, transposed)
                      : matrix_of<4>(loads, transposed);
}

void add_copy_forms(Forms& forms) {
  forms["cp.async.commit_group"] = {commit_group, ":", Kind::async_copy, Control::plain};
  forms["cp.async.wait_group"] = {wait_group, ":i", Kind::async_copy, Control::plain};
  forms["cp.async.wait_all"] = {wait_all, ":", Kind::async_copy, Control::plain};
}

}  // namespace softgpu
