// Exports: the device, its properties, errors.

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <cstring>
#include <iterator>
#include <map>

#include "memory/global_memory.h"
#include "runtime/device.h"
#include "runtime/status.h"
#include "runtime/streams.h"

namespace softgpu {

namespace {

struct ErrorText {
  cudaError_t code;
  const char* name;
  const char* text;
};
// The errors that this runtime gives, and their texts (CUDA runtime API, "cudaError").
constexpr ErrorText kErrors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInvalidSymbol, "cudaErrorInvalidSymbol", "invalid device symbol"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy"},
    {cudaErrorMissingConfiguration, "cudaErrorMissingConfiguration",
     "__global__ function call is not configured"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidPtx, "cudaErrorInvalidPtx", "a PTX JIT compilation failed"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorMisalignedAddress, "cudaErrorMisalignedAddress", "misaligned address"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorHostMemoryAlreadyRegistered, "cudaErrorHostMemoryAlreadyRegistered",
     "part or all of the requested memory range is already mapped"},
    {cudaErrorHostMemoryNotRegistered, "cudaErrorHostMemoryNotRegistered",
     "pointer does not correspond to a registered memory region"},
};

const ErrorText& text_of(cudaError_t code) {
  static constexpr ErrorText unknown{cudaErrorUnknown, "unrecognized error code", "unrecognized error code"};
  for (const ErrorText& error : kErrors) {
    if (error.code == code) return error;
  }
  return unknown;
}

const std::map<cudaDeviceAttr, int>& attributes() {
  static const std::map<cudaDeviceAttr, int> values = {
      {cudaDevAttrMaxThreadsPerBlock, Device::threads_per_block},
      {cudaDevAttrMaxBlockDimX, Device::block_x},
      {cudaDevAttrMaxBlockDimY, Device::block_y},
      {cudaDevAttrMaxBlockDimZ, Device::block_z},
      {cudaDevAttrMaxGridDimX, Device::grid_x},
      {cudaDevAttrMaxGridDimY, Device::grid_y},
      {cudaDevAttrMaxGridDimZ, Device::grid_z},
      {cudaDevAttrMaxSharedMemoryPerBlock, Device::shared_per_block},
      {cudaDevAttrTotalConstantMemory, Device::constant_bytes},
      {cudaDevAttrWarpSize, Device::warp},
      {cudaDevAttrMaxRegistersPerBlock, Device::registers_per_multiprocessor},
      {cudaDevAttrClockRate, Device::clock_khz},
      {cudaDevAttrMemoryClockRate, Device::memory_clock_khz},
      {cudaDevAttrGlobalMemoryBusWidth, Device::memory_bus_bits},
      {cudaDevAttrMultiProcessorCount, device().multiprocessors},
      {cudaDevAttrL2CacheSize, Device::l2_bytes},
      {cudaDevAttrMaxThreadsPerMultiProcessor, Device::threads_per_multiprocessor},
      {cudaDevAttrConcurrentKernels, 1},
      {cudaDevAttrAsyncEngineCount, 2},
      {cudaDevAttrUnifiedAddressing, 1},
      {cudaDevAttrComputeCapabilityMajor, Device::major},
      {cudaDevAttrComputeCapabilityMinor, Device::minor},
      {cudaDevAttrMaxSharedMemoryPerMultiprocessor, device().shared_per_multiprocessor()},
      {cudaDevAttrMaxRegistersPerMultiprocessor, Device::registers_per_multiprocessor},
      {cudaDevAttrMaxSharedMemoryPerBlockOptin, device().shared_per_block_opt_in},
      {cudaDevAttrReservedSharedMemoryPerBlock, Device::shared_reserved_per_block},
      {cudaDevAttrMaxBlocksPerMultiprocessor, Device::blocks_per_multiprocessor},
      {cudaDevAttrMemoryPoolsSupported, 1},
      {cudaDevAttrManagedMemory, 0},
      {cudaDevAttrCooperativeLaunch, 0},
      {cudaDevAttrIntegrated, 0},
      {cudaDevAttrEccEnabled, 1},
      {cudaDevAttrPciBusId, 0},
      {cudaDevAttrPciDeviceId, 0},
      {cudaDevAttrPciDomainId, 0},
  };
  return values;
}

cudaDeviceProp properties() {
  cudaDeviceProp card{};
  std::strncpy(card.name, Device::name, sizeof card.name - 1);
  card.totalGlobalMem = global_memory().limit;
  card.sharedMemPerBlock = Device::shared_per_block;
  card.sharedMemPerBlockOptin = device().shared_per_block_opt_in;
  card.sharedMemPerMultiprocessor = device().shared_per_multiprocessor();
  card.reservedSharedMemPerBlock = Device::shared_reserved_per_block;
  card.regsPerBlock = card.regsPerMultiprocessor = Device::registers_per_multiprocessor;
  card.warpSize = Device::warp;
  card.memPitch = 0x7FFFFFFF;
  card.maxThreadsPerBlock = Device::threads_per_block;
  card.maxThreadsPerMultiProcessor = Device::threads_per_multiprocessor;
  card.maxBlocksPerMultiProcessor = Device::blocks_per_multiprocessor;
  card.maxThreadsDim[0] = Device::block_x;
  card.maxThreadsDim[1] = Device::block_y;
  card.maxThreadsDim[2] = Device::block_z;
  card.maxGridSize[0] = Device::grid_x;
  card.maxGridSize[1] = Device::grid_y;
  card.maxGridSize[2] = Device::grid_z;
  card.totalConstMem = Device::constant_bytes;
  card.major = Device::major;
  card.minor = Device::minor;
  card.textureAlignment = card.surfaceAlignment = 512;
  card.texturePitchAlignment = 32;
  card.multiProcessorCount = device().multiprocessors;
  card.l2CacheSize = Device::l2_bytes;
  card.memoryBusWidth = Device::memory_bus_bits;
  card.concurrentKernels = card.unifiedAddressing = card.ECCEnabled = card.memoryPoolsSupported = 1;
  card.asyncEngineCount = 2;
  card.hostNumaId = -1;
  return card;
}

template <class Body>
cudaError_t call_with_device(int number, const Body& body) {
  return call([&] {
    if (device().count < 1) return cudaErrorNoDevice;
    if (number < 0 || number >= device().count) return cudaErrorInvalidDevice;
    return body();
  });
}

}  // namespace

}  // namespace softgpu

using namespace softgpu;

extern "C" {

const char* cudaGetErrorName(cudaError_t code) { return text_of(code).name; }
const char* cudaGetErrorString(cudaError_t code) { return text_of(code).text; }
cudaError_t cudaGetLastError() { return last_error(true); }
cudaError_t cudaPeekAtLastError() { return last_error(false); }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = device().count;
  return remember(device().count > 0 ? cudaSuccess : cudaErrorNoDevice);
}
cudaError_t cudaGetDevice(int* number) {
  return call_with_device(0, [&] {
    *number = 0;
    return cudaSuccess;
  });
}
// Several cards share what is one memory here: enough to look at, not to run on.
cudaError_t cudaSetDevice(int number) {
  return call_with_device(number, [&] {
    return number == 0 ? cudaSuccess : refuse(cudaErrorNotSupported, "only device 0 runs anything");
  });
}
cudaError_t cudaInitDevice(int number, unsigned /*device_flags*/, unsigned /*flags*/) {
  return call_with_device(number, [] { return cudaSuccess; });
}
cudaError_t cudaSetDeviceFlags(unsigned /*flags*/) {
  return call_with_device(0, [] { return cudaSuccess; });
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* card, int number) {
  return call_with_device(number, [&] {
    *card = properties();
    return cudaSuccess;
  });
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int number) {
  return call_with_device(number, [&] {
    const auto found = attributes().find(attribute);
    if (found == attributes().end()) {
      return refuse(
          cudaErrorNotSupported,
          fmt::format("cudaDeviceGetAttribute: attribute {} is not supported", static_cast<int>(attribute)));
    }
    *value = found->second;
    return cudaSuccess;
  });
}
cudaError_t cudaDeviceGetPCIBusId(char* text, int bytes, int number) {
  return call_with_device(number, [&] {
    fmt::format_to_n(text, bytes, "0000:00:00.0{}", '\0');
    return cudaSuccess;
  });
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return call_with_device(0, [&] {
    *least = *greatest = 0;
    return cudaSuccess;
  });
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = device().count > 0 ? CUDART_VERSION : 0;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  return call_with_device(0, [] {
    streams().run_all();
    return cudaSuccess;
  });
}
cudaError_t cudaDeviceReset() { return cudaDeviceSynchronize(); }
cudaError_t cudaProfilerStart() { return cudaSuccess; }
cudaError_t cudaProfilerStop() { return cudaSuccess; }

}  // extern "C"
