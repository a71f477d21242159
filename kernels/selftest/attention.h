#pragma once

#include <functional>

#include "kernels/selftest/table.h"

namespace fovea {

/// Tries a backend's attention in every dtype over problems that cover the masks; each line of the table is
/// handed over when it is done.
void check_attention(Backend backend, int threads, const std::function<void(const Row&)>& done);

}  // namespace fovea
