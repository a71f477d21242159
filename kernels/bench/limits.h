#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fovea {

/// limit/fma, limit/bf16_dot (where there is one), limit/matmul_2048/DTYPE and limit/read: what the machine
/// gives on so many threads.
std::vector<std::string> limit_names();
/// FLOP/s, of limit/read B/s: the best of some attempts. Throws UserError (usage) for another name.
double measured_limit(std::string_view name, int threads);

}  // namespace fovea
