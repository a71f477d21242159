#include "runtime/elf.h"

#include <elf.h>

#include <cstring>

namespace softgpu {

namespace {

template <class T>
T read(std::string_view bytes, uint64_t offset) {
  T value{};
  if (offset <= bytes.size() && sizeof value <= bytes.size() - offset) {
    std::memcpy(&value, bytes.data() + offset, sizeof value);
  }
  return value;
}

std::string_view name_at(std::string_view bytes, uint64_t offset) {
  if (offset >= bytes.size()) return {};
  return bytes.substr(offset, bytes.substr(offset).find('\0'));
}

}  // namespace

// The high byte of sh_info of section .text.KERNEL is its number of registers.
int registers_in_elf(std::string_view elf, const std::string& kernel) {
  const auto header = read<Elf64_Ehdr>(elf, 0);
  const auto section = [&](uint64_t i) {
    return read<Elf64_Shdr>(elf, header.e_shoff + i * header.e_shentsize);
  };
  const uint64_t names = section(header.e_shstrndx).sh_offset;
  for (uint64_t i = 0; i < header.e_shnum; ++i) {
    const Elf64_Shdr candidate = section(i);
    if (name_at(elf, names + candidate.sh_name) == ".text." + kernel) {
      return static_cast<int>(candidate.sh_info >> 24);
    }
  }
  return 0;
}

}  // namespace softgpu
