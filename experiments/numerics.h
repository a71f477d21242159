#pragma once

#include "core/types.h"

namespace fovea {

/// Raised whenever the same configuration comes to other numbers: part of every run's identity, so that old
/// results are known as such.
inline constexpr int64 kNumerics = 1;

}  // namespace fovea
