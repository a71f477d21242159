#include "memory/global_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <stdexcept>
#include <vector>

namespace softgpu {

namespace {

constexpr uint64_t kAlignment = 256;
constexpr uint64_t kRange = uint64_t{1} << 40;
constexpr uint64_t kRedZone = 64 << 10;
constexpr uint64_t kPage = 4096;
// An allocation of at least this is given its fresh bytes by mapping a file copy-on-write, part by part: only
// pages that are written take memory, so that tests can have buffers of many GiB.
constexpr uint64_t kFilePart = 16 << 20;

uint64_t round_up(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

void* map(void* where, uint64_t bytes, int protection, int flags, int file) {
  void* const got = mmap(where, bytes, protection, flags, file, 0);
  if (got == MAP_FAILED) {
    throw std::runtime_error(fmt::format("softgpu: cannot map {} bytes: {}", bytes, std::strerror(errno)));
  }
  return got;
}

std::byte* reserve(uint64_t bytes, int protection) {
  return static_cast<std::byte*>(
      map(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1));
}

int file_of(uint8_t value) {
  const int file = memfd_create("softgpu fresh memory", MFD_CLOEXEC);
  const std::vector<uint8_t> bytes(kFilePart, value);
  if (file < 0 || write(file, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
    throw std::runtime_error(fmt::format("softgpu: cannot make fresh memory: {}", std::strerror(errno)));
  }
  return file;
}

// Fills [start, start + bytes), which begins at a page, with what the file repeats.
void fill(std::byte* start, uint64_t bytes, uint8_t value, int& file) {
  const uint64_t whole = bytes / kFilePart * kFilePart;
  if (whole > 0 && file < 0) file = file_of(value);
  for (uint64_t at = 0; at < whole; at += kFilePart) {
    map(start + at, kFilePart, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, file);
  }
  std::memset(start + whole, value, bytes - whole);
}

// Zeros, and no memory behind whole pages. `start` begins at a page, which nothing else shares.
void clear(std::byte* start, uint64_t bytes) {
  map(start, round_up(bytes, kPage), PROT_READ | PROT_WRITE,
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1);
}

// The last allocation of `from` that starts at or below the address.
GlobalMemory::Allocation below(const std::map<uint64_t, uint64_t>& from, uint64_t address) {
  const auto above = from.upper_bound(address);
  if (above == from.begin()) return {};
  const auto found = std::prev(above);
  return {found->first, found->second};
}

}  // namespace

GlobalMemory::GlobalMemory(uint64_t most_bytes)
    : base(reinterpret_cast<uint64_t>(reserve(kRange, PROT_NONE))),
      size(kRange),
      data(reserve(kRange, PROT_READ | PROT_WRITE)),
      state(reinterpret_cast<uint8_t*>(reserve(kRange, PROT_READ | PROT_WRITE))),
      limit(most_bytes) {}

GlobalMemory::~GlobalMemory() {
  munmap(reinterpret_cast<void*>(base), size);
  munmap(data, size);
  munmap(state, size);
  if (fresh_data_ >= 0) close(fresh_data_);
  if (fresh_state_ >= 0) close(fresh_state_);
}

uint64_t GlobalMemory::allocate(uint64_t bytes) {
  bytes = std::max<uint64_t>(bytes, 1);
  const uint64_t taken = round_up(bytes, kAlignment);
  // Buffers are apart by half their size at least: a wrong row of a large one shall not hit its neighbour.
  const uint64_t red_zone = round_up(std::max(kRedZone, bytes / 2), kPage);
  if (bytes > limit || taken > limit - used || taken + 2 * red_zone > size - next_) return 0;
  const uint64_t offset = next_ + red_zone;
  fill(data + offset, bytes, 0xFF, fresh_data_);
  fill(reinterpret_cast<std::byte*>(state + offset), bytes, byte_unwritten, fresh_state_);
  next_ = round_up(offset + taken, kPage) + red_zone;
  used += taken;
  allocations_[base + offset] = bytes;
  return base + offset;
}

bool GlobalMemory::free(uint64_t address) {
  const auto found = allocations_.find(address);
  if (found == allocations_.end()) return false;
  clear(data + (address - base), found->second);
  clear(reinterpret_cast<std::byte*>(state + (address - base)), found->second);
  used -= round_up(found->second, kAlignment);
  freed_.insert(*found);
  allocations_.erase(found);
  return true;
}

GlobalMemory::Allocation GlobalMemory::allocation_of(uint64_t address) const {
  const Allocation candidate = below(allocations_, address);
  return candidate.bytes > address - candidate.address ? candidate : Allocation{};
}

bool GlobalMemory::allocated(uint64_t address, uint64_t bytes) const {
  const Allocation found = allocation_of(address);
  return found.bytes > 0 && bytes <= found.bytes - (address - found.address);
}

bool GlobalMemory::written(uint64_t address, uint64_t bytes) const {
  if (!contains(address) || bytes > size - (address - base)) return false;
  const uint8_t* const first = state + (address - base);
  return std::all_of(first, first + bytes, [](uint8_t of_byte) { return of_byte == byte_written; });
}

void GlobalMemory::mark_written(uint64_t address, uint64_t bytes) {
  std::memset(state + (address - base), byte_written, bytes);
}

std::string GlobalMemory::describe(uint64_t address) const {
  if (!contains(address)) return fmt::format("{:#x} is no device memory", address);
  const Allocation buffer = below(allocations_, address);
  if (buffer.bytes > address - buffer.address) {
    return fmt::format("{:#x} is byte {} of the {} bytes at {:#x}", address, address - buffer.address,
                       buffer.bytes, buffer.address);
  }
  const Allocation old = below(freed_, address);
  if (old.bytes > address - old.address) {
    return fmt::format("{:#x} is byte {} of {} bytes at {:#x} that were freed", address,
                       address - old.address, old.bytes, old.address);
  }
  const auto next = allocations_.upper_bound(address);
  const uint64_t behind = buffer.bytes > 0 ? address - buffer.address - buffer.bytes : UINT64_MAX;
  const uint64_t before = next != allocations_.end() ? next->first - address : UINT64_MAX;
  if (behind == UINT64_MAX && before == UINT64_MAX) {
    return fmt::format("{:#x}: nothing is allocated", address);
  }
  if (behind <= before) {
    return fmt::format("{:#x} is {} bytes past the end of the {} bytes at {:#x}", address, behind,
                       buffer.bytes, buffer.address);
  }
  return fmt::format("{:#x} is {} bytes before the {} bytes at {:#x}", address, before, next->second,
                     next->first);
}

GlobalMemory& global_memory() {
  // Never destroyed: programs free their buffers at exit, in whatever order.
  static GlobalMemory& memory = *[] {
    const char* const megabytes = std::getenv("SOFTGPU_MEMORY_MB");
    return new GlobalMemory((megabytes != nullptr ? std::strtoull(megabytes, nullptr, 10) : 16384) << 20);
  }();
  return memory;
}

}  // namespace softgpu
