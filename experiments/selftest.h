#pragma once

#include <string>

#include "core/error.h"

namespace fovea {

/// Holds the attention of a backend ("auto": every one) to the fp64 oracle on this machine, forward and
/// backward, over problems that cover the masks and dtypes; prints one line each, with the error as a part of
/// what the error rule allows (tests/golden/README.md). Returns failed when one is beyond it.
ExitCode selftest(const std::string& backend, int threads);

}  // namespace fovea
