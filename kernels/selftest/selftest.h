#pragma once

#include <string>

#include "core/error.h"

namespace fovea {

/// Holds every operation of a backend ("auto": of every one) to the fp64 oracle on this machine, forward and
/// backward, in each dtype, over ragged and usual sizes, and calls it twice for the same bits. Prints a line
/// for each operation, pass and dtype, with the worst error as a part of what is allowed, and returns failed
/// where one is beyond it. Of backends that differ from another in attention alone that is what is tried.
ExitCode selftest(const std::string& backend, int threads);

}  // namespace fovea
