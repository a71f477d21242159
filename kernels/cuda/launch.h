#pragma once

#include <cuda_runtime.h>

#include <string_view>
#include <utility>

#include "core/cuda/check.h"
#include "core/stream.h"

namespace fovea::cuda {

inline cudaStream_t stream_of(const Execution& execution) {
  return static_cast<cudaStream_t>(execution.queue().handle());
}

/// How a kernel is launched.
struct LaunchShape {
  dim3 grid, block;
  int64 shared_bytes = 0;  ///< dynamic shared memory
};

/// Launches kernel(arguments...) on the stream; nothing where the grid is empty. An error names the kernel (a
/// string literal) and its shape.
template <class... Parameters, class... Arguments>
void launch(const Execution& execution, std::string_view name, const LaunchShape& shape,
            void (*kernel)(Parameters...), Arguments&&... arguments) {
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
  constexpr int64 kWithoutAsking = 40 * 1024;  // 48 KiB with what a kernel itself declares
  const auto shared_bytes = static_cast<size_t>(shape.shared_bytes);
  remember_launch(name, shape.grid, shape.block, shared_bytes);
  if (shape.shared_bytes > kWithoutAsking)
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                               cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)),
          "cudaFuncSetAttribute (shared memory)");
  kernel<<<shape.grid, shape.block, shared_bytes, stream_of(execution)>>>(
      std::forward<Arguments>(arguments)...);
  check(cudaGetLastError(), "launch");
}

}  // namespace fovea::cuda
