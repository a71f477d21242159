#pragma once

#include "core/stream.h"

namespace fovea::cuda {

/// order (N) = the indices of keys (N) by ascending key, those of equal keys ascending: a stable radix sort,
/// by integers alone, so that its result depends on nothing but the keys. Keys lie in [0, bound); a kernel
/// that sees another one traps. scratch has order_scratch(N) elements; all lies on the device.
void order_by_key(const Execution& execution, const int32* keys, int64 N, int64 bound, int32* order,
                  int32* scratch);
int64 order_scratch(int64 N);

}  // namespace fovea::cuda
