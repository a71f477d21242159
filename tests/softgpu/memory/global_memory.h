#pragma once

// The device's global memory: addresses that no host code can touch, and the bytes behind them.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace softgpu {

/// What is known of a byte of device memory.
enum ByteState : uint8_t { byte_unallocated = 0, byte_unwritten = 1, byte_written = 2 };

/// A device's memory. Device addresses lie in [base, base + size), a range of this process's address space
/// that is reserved without access, so that a host that reads or writes through a device pointer dies of it.
/// Addresses are not used again after free(): whoever reads freed memory is caught, however late.
///
/// Bytes and states may be read and written directly through `data` and `state`; whoever writes a byte sets
/// its state to byte_written.
struct GlobalMemory {
  uint64_t base = 0;
  uint64_t size = 0;
  std::byte* data = nullptr;  // byte of address a: data[a - base]
  uint8_t* state = nullptr;   // ByteState of address a: state[a - base], for every address of the range
  uint64_t limit = 0;         // bytes that may be allocated at once
  uint64_t used = 0;          // bytes allocated now, each allocation rounded up to 256

  /// Reserves the range. @param limit bytes that may be allocated at once
  explicit GlobalMemory(uint64_t limit);
  ~GlobalMemory();
  GlobalMemory(const GlobalMemory&) = delete;
  GlobalMemory& operator=(const GlobalMemory&) = delete;

  /// An address, a multiple of 256, of `bytes` unwritten bytes with unallocated addresses around them; 0 if
  /// the limit does not allow it. Fresh bytes are 0xFF: NaN, if anyone reads them. No bytes are given out as
  /// one.
  uint64_t allocate(uint64_t bytes);
  /// Forgets what allocate() gave. @returns false if `address` is not the start of an allocation
  bool free(uint64_t address);

  bool contains(uint64_t address) const { return address >= base && address - base < size; }
  /// Whether every byte of [address, address + bytes) is allocated.
  bool allocated(uint64_t address, uint64_t bytes) const;
  /// Whether every byte of [address, address + bytes) is allocated and was written.
  bool written(uint64_t address, uint64_t bytes) const;
  void mark_written(uint64_t address, uint64_t bytes);
  /// Bytes of the allocation in which `address` lies, and its start; 0 and 0 if it lies in none.
  struct Allocation {
    uint64_t address = 0, bytes = 0;
  };
  Allocation allocation_of(uint64_t address) const;
  /// Where `address` lies, for a report: "byte 12 of the 4000 bytes at 0x...", "4 bytes past the end of ...",
  /// "in memory that was freed", "no device memory".
  std::string describe(uint64_t address) const;

 private:
  std::map<uint64_t, uint64_t> allocations_;  // start -> bytes, as asked for
  std::map<uint64_t, uint64_t> freed_;        // the same of what was freed
  uint64_t next_ = 0;                         // offset at which the next allocation's red zone starts
  int fresh_data_ = -1,
      fresh_state_ = -1;  // files of 0xFF and of byte_unwritten, mapped behind large allocations
};

/// The process's device memory: SOFTGPU_MEMORY_MB MiB of it (16384 where that is not set).
GlobalMemory& global_memory();

}  // namespace softgpu
