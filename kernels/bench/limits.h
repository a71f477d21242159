#pragma once

namespace fovea {

/// Registers limit/fma, limit/bf16_dot (where there is one), limit/matmul_2048/DTYPE and limit/read: what the
/// machine gives on so many threads.
void add_limits(int threads);

}  // namespace fovea
