#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/types.h"

namespace fovea {

/// Optimal string alignment: a swap of neighbours is one edit, as insertion, deletion and replacement are.
size_t edits(std::string_view a, std::string_view b);

/// The candidate that `word` most likely meant, empty when none is near: at most two edits away, more for
/// long words.
std::string nearest(std::string_view word, std::span<const std::string_view> candidates);

/// The text with its control characters escaped. Names of files, keys and values come from outside: whatever
/// they hold, an error stays one line.
std::string on_one_line(std::string_view text);

}  // namespace fovea
