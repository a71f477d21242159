#include "runtime/fatbin.h"

#include <fmt/format.h>

#include <cstring>

#include "machine/fault.h"

namespace softgpu {

namespace {

constexpr uint32_t kWrapperMagic = 0x466243B1;
constexpr uint32_t kContainerMagic = 0xBA55ED50;
// Flags of an entry: compressed by LZ4, by zstd.
constexpr uint64_t kCompressed = 0x2000 | 0x8000;

template <class T>
T read(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// As text ends: nvcc pads entries with zeros.
std::string_view without_zeros(std::string_view text) {
  return text.substr(0, text.find_last_not_of('\0') + 1);
}

}  // namespace

// Wrapper: u32 magic, u32 version, pointer to the container. Container: u32 magic, u16 version, u16 header
// bytes, u64 bytes after the header. Entry: u16 kind, u16 version, u32 header bytes, u64 bytes, ... u32 arch
// at 28, u64 flags at 40.
std::vector<FatbinEntry> read_fatbin(const void* wrapper) {
  const auto* const outer = static_cast<const std::byte*>(wrapper);
  if (read<uint32_t>(outer) != kWrapperMagic) {
    throw Fault("syntax", fmt::format("a fat binary's wrapper begins with {:#x}, not {:#x}",
                                      read<uint32_t>(outer), kWrapperMagic));
  }
  const auto* at = read<const std::byte*>(outer + 8);
  if (read<uint32_t>(at) != kContainerMagic) {
    throw Fault("syntax", fmt::format("a fat binary begins with {:#x}, not {:#x}", read<uint32_t>(at),
                                      kContainerMagic));
  }
  const std::byte* const end = at + read<uint16_t>(at + 6) + read<uint64_t>(at + 8);
  std::vector<FatbinEntry> entries;
  for (at += read<uint16_t>(at + 6); at < end; at += read<uint32_t>(at + 4) + read<uint64_t>(at + 8)) {
    if ((read<uint64_t>(at + 40) & kCompressed) != 0) {
      throw Fault("unsupported", "the fat binary is compressed: build with nvcc --no-compress");
    }
    const std::string_view bytes(reinterpret_cast<const char*>(at) + read<uint32_t>(at + 4),
                                 read<uint64_t>(at + 8));
    const auto kind = static_cast<FatbinEntry::Kind>(read<uint16_t>(at));
    entries.push_back(
        {kind, read<uint32_t>(at + 28), kind == FatbinEntry::Kind::ptx ? without_zeros(bytes) : bytes});
  }
  return entries;
}

}  // namespace softgpu
