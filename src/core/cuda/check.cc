#include "core/cuda/check.h"

#include "core/error.h"

namespace fovea::cuda {
namespace {

// Of this thread: put into words only when something fails.
struct LastLaunch {
  std::string_view kernel;  // a string literal
  dim3 grid, block;
  size_t shared_bytes = 0;
};
thread_local LastLaunch last_launch;

std::string last_launch_in_words() {
  const LastLaunch& l = last_launch;
  if (l.kernel.empty()) return {};
  return fmt::format("; last launched: {} <<<({}, {}, {}), ({}, {}, {}), {} B>>>", l.kernel, l.grid.x,
                     l.grid.y, l.grid.z, l.block.x, l.block.y, l.block.z, l.shared_bytes);
}

std::string_view hint(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorIllegalInstruction:
      return "; CUDA_LAUNCH_BLOCKING=1 names the kernel, compute-sanitizer the line; `fovea selftest "
             "--backend cuda` "
             "tells a bad device from a bug";
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
      return "; this build has no kernels for this device: build with -Dcuda_archs=all, or update the driver";
    case cudaErrorMemoryAllocation:
      return "; another process may hold the memory (nvidia-smi), or train.fit and train.grain make it less";
    case cudaErrorDevicesUnavailable:
      return "; another process holds the device (nvidia-smi)";
    default:
      return "";
  }
}

}  // namespace

void remember_launch(std::string_view kernel, dim3 grid, dim3 block, size_t shared_bytes) {
  last_launch = {kernel, grid, block, shared_bytes};
}

void check(cudaError_t error, std::string_view call) {
  if (error == cudaSuccess) return;
  fail_run("CUDA: {}: {} ({}){}{}", call, cudaGetErrorString(error), cudaGetErrorName(error),
           last_launch_in_words(), hint(error));
}

}  // namespace fovea::cuda
