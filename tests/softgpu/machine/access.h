#pragma once

#include "machine/machine.h"

namespace softgpu {

/// Where the lanes of one access find their bytes.
struct Access {
  uint64_t address[kLanes];  // as the instruction has it
  std::byte* at[kLanes];     // of lanes in the mask
  bool contiguous = false;   // all lanes, each right after the one before
};

enum class Direction : uint8_t { read, write, both };

/// The address that each lane's register, of 64 bits where `wide`, and an offset give.
void addresses(const Machine& m, uint32_t address_register, bool wide, int64_t offset,
               uint64_t (&address)[kLanes]);

/// Whether all lanes take part, each right after the one before.
bool follow_each_other(const uint64_t (&address)[kLanes], uint32_t mask, uint32_t bytes);
/// Faults where an address is no multiple of `bytes`, a power of two.
void check_alignment(const Machine& m, const Op& op, uint32_t mask, const uint64_t (&address)[kLanes],
                     uint32_t bytes);

/// Checks the access of op.bytes in op.space by every lane of `mask` (bounds, alignment, bytes never written,
/// races, copies owed), records and counts it, and finds the bytes.
void locate(Machine& m, const Op& op, uint32_t mask, Direction direction, Access& access);

/// The same where all is one space. Addresses are offsets in the space's window.
void locate_shared(Machine& m, const Op& op, uint32_t mask, Direction direction, Access& access);
void locate_global(Machine& m, const Op& op, uint32_t mask, Direction direction, Access& access);
/// A read of global memory of other bytes than the instruction's, whose alignment the caller has checked.
void locate_global_bytes(Machine& m, const Op& op, uint32_t mask, uint32_t bytes, Access& access);

}  // namespace softgpu
