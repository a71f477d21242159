#pragma once

#include <filesystem>

#include "core/thread_pool.h"

namespace fovea::h5 {

/// Runs `read`, which reads an HDF5 file from outside, in a process of its own first: on some malformed files
/// HDF5's library writes where it should not, takes memory without end, or never comes back, before anything
/// can be checked. Throws UserError (input) where that process dies or takes far more memory or time than a
/// file of this size may, and what `read` throws there.
void rehearse(const std::filesystem::path& file, FunctionRef<void()> read);

}  // namespace fovea::h5
