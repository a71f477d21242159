#pragma once

#include <string>
#include <string_view>

namespace fovea {

/// Optimal string alignment: a swap of neighbours is one edit, as insertion, deletion and replacement are.
size_t edits(std::string_view a, std::string_view b);

/// The key that an unknown path most likely meant, empty when none is near: few edits away, or the same name
/// in another table.
std::string nearest_config_key(std::string_view path);

}  // namespace fovea
