#pragma once

#include <string>

#include "config/load.h"

namespace fovea {

/// Every effective value with its unit and where it came from, one a line, grouped by table; a star marks
/// what differs from the default. The axes of a sweep and the number of runs follow.
std::string explain(const LoadedConfig& loaded);

}  // namespace fovea
