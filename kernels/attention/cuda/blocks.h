#pragma once

#include <cuda_runtime_api.h>

#include "core/error.h"
#include "core/types.h"

namespace fovea::cuda {

/// A grid of so many blocks, along x: the only axis that takes more than 65535.
inline dim3 blocks(int64 count) {
  FOVEA_CHECK(count <= INT32_MAX, "a grid of {} blocks", count);
  return dim3(static_cast<unsigned>(count));
}

}  // namespace fovea::cuda
