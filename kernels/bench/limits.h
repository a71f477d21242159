#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "core/stream.h"

namespace fovea {

/// limit/fma, limit/bf16_dot (where there is one), limit/matmul_2048/DTYPE and limit/read: what the machine
/// gives on so many threads; where there is a device, limit/cuda/product_8192/DTYPE and limit/cuda/copy.
std::vector<std::string> limit_names();
/// FLOP/s, of limit/read and limit/cuda/copy B/s: the best of some attempts. Throws UserError (usage) for
/// another name.
double measured_limit(std::string_view name, int threads);

/// FLOP/s that attention on this backend is held to: registers alone, or a product of the device's library.
double measured_peak_flops(Backend backend, DType dtype, int threads);

}  // namespace fovea
