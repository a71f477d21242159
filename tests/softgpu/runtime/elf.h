#pragma once

#include <string>
#include <string_view>

namespace softgpu {

/// Registers per thread of a kernel, from the machine code (ELF) that ptxas made; 0 if it does not say.
int registers_in_elf(std::string_view elf, const std::string& kernel);

}  // namespace softgpu
