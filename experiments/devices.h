#pragma once

#include <string>

namespace fovea {

/// Backends with their instruction sets, threads, and what is absent: GPUs, launchers.
std::string describe_devices();

}  // namespace fovea
