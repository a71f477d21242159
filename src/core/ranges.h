#pragma once

#include <memory>
#include <vector>

#include "core/types.h"

namespace fovea {

/// A list of ranges that is made once and handed to operations by every step.
using Ranges = std::shared_ptr<const std::vector<Range>>;

}  // namespace fovea
