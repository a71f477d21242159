#pragma once

#include <cstddef>
#include <cstdint>

namespace softgpu {

/// From here on, a host that reads or writes through a device pointer is told so before it dies.
void watch_host_accesses();

}  // namespace softgpu
