#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/types.h"

namespace fovea {

/// XXH3, 64 and 128 bits (as 32 hex digits): checksums of files and identities of runs.
uint64 hash64(std::span<const std::byte> data);
std::string hash128(std::span<const std::byte> data);
std::string hash128(std::string_view text);

}  // namespace fovea
