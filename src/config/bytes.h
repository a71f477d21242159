#pragma once

#include <optional>
#include <string_view>

#include "core/types.h"

namespace fovea {

/// A size as people write it: "512 MiB", "1.5 GiB", "4096 B", the space optional; units B, KiB, MiB, GiB.
/// Nothing for any other text, or a size below one byte or above 2^60.
std::optional<int64> bytes_from_text(std::string_view text);

}  // namespace fovea
