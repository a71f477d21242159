#pragma once

#include <string>
#include <string_view>

namespace fovea {

/// The key that an unknown path most likely meant, empty when none is near: few edits away, or the same name
/// in another table.
std::string nearest_config_key(std::string_view path);

}  // namespace fovea
