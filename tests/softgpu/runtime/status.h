#pragma once

#include <cuda_runtime_api.h>

#include <mutex>
#include <string>

#include "machine/fault.h"

namespace softgpu {

/// One lock around everything that the runtime does, kernels too.
std::recursive_mutex& runtime_mutex();

/// A line on stderr that explains an error code which is about to be returned.
cudaError_t refuse(cudaError_t code, const std::string& why);

/// Says the fault on stderr and aborts; where SOFTGPU_FAULT=error is set, puts the device into the state in
/// which every call returns the fault's code, as after a fault on a card.
void report(const Fault& fault);

/// The code of that state; cudaSuccess while the device is well.
cudaError_t device_error();

/// Remembers what cudaGetLastError is to say, and returns it.
cudaError_t remember(cudaError_t code);
cudaError_t last_error(bool forget);

/// The body of a call of the runtime: under the lock, with its error remembered. A device in error answers
/// every call with that.
template <class Body>
cudaError_t call(const Body& body) {
  const std::scoped_lock lock(runtime_mutex());
  if (device_error() != cudaSuccess) return remember(device_error());
  cudaError_t code = cudaSuccess;
  try {
    code = body();
  } catch (const Fault& fault) {
    report(fault);
  }
  return remember(code == cudaSuccess ? device_error() : code);
}

}  // namespace softgpu
