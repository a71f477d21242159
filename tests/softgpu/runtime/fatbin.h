#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace softgpu {

/// A part of what nvcc puts into a program for each source file: PTX text or machine code (ELF) for one
/// architecture.
struct FatbinEntry {
  enum class Kind : uint16_t { ptx = 1, elf = 2 };
  Kind kind;
  uint32_t arch;           // 80: compute_80 or sm_80
  std::string_view bytes;  // of PTX: the text
};

/// The entries of the fat binary behind `wrapper`, which is what the program registers. Throws Fault
/// ("syntax") where it is no fat binary, and ("unsupported") where an entry is compressed (nvcc
/// --no-compress).
std::vector<FatbinEntry> read_fatbin(const void* wrapper);

}  // namespace softgpu
