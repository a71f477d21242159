// Exports: memory of the device and pinned memory of the host, copies and fills, device variables.

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "memory/global_memory.h"
#include "runtime/copies.h"
#include "runtime/device.h"
#include "runtime/handles.h"
#include "runtime/programs.h"
#include "runtime/status.h"

namespace softgpu {

namespace {

constexpr size_t kPage = 4096;

uint64_t number(const void* address) { return reinterpret_cast<uint64_t>(address); }

cudaError_t allocate(void** address, size_t bytes) {
  if (device().count < 1) return cudaErrorNoDevice;
  *address = nullptr;
  if (bytes == 0) return cudaSuccess;
  const uint64_t got = global_memory().allocate(bytes);
  if (got == 0) return cudaErrorMemoryAllocation;
  *address = reinterpret_cast<void*>(got);
  return cudaSuccess;
}

cudaError_t release(const char* call, void* address) {
  if (address == nullptr || global_memory().free(number(address))) return cudaSuccess;
  return refuse(cudaErrorInvalidValue, fmt::format("{}: {}: not what cudaMalloc gave", call,
                                                   global_memory().describe(number(address))));
}

cudaError_t copy_in(const char* name, const Copy& copy, cudaMemcpyKind kind, cudaStream_t handle, bool wait) {
  return call([&] {
    const auto stream = stream_of(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    const cudaError_t code = enqueue_copy(name, copy, kind, stream);
    if (code == cudaSuccess && wait) streams().run_until(Streams::now(stream));
    return code;
  });
}

cudaError_t fill_in(const char* name, const Copy& rows, int value, cudaStream_t handle) {
  return call([&] {
    const auto stream = stream_of(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    return enqueue_fill(name, rows, static_cast<uint8_t>(value), stream);
  });
}

// The device variable behind a host symbol; nothing where there is none.
struct Symbol {
  uint64_t address = 0, bytes = 0;
};
Symbol symbol_of(const void* symbol) {
  const auto found = programs().variables.find(symbol);
  if (found == programs().variables.end()) return {};
  const ptx::Variable* const variable = found->second.program->module().variable(found->second.name);
  return variable == nullptr ? Symbol{} : Symbol{variable->address, variable->bytes};
}

enum class Direction { to_symbol, from_symbol };

cudaError_t symbol_copy(const char* name, Direction direction, const void* symbol, const void* other,
                        size_t bytes, size_t offset, cudaMemcpyKind kind, cudaStream_t stream, bool wait) {
  Symbol found;
  const cudaError_t code = call([&] {
    found = symbol_of(symbol);
    if (found.address == 0) return cudaErrorInvalidSymbol;
    if (offset > found.bytes || bytes > found.bytes - offset) {
      return refuse(cudaErrorInvalidValue, fmt::format("{}: bytes {} to {} of a variable of {}", name, offset,
                                                       offset + bytes, found.bytes));
    }
    return cudaSuccess;
  });
  if (code != cudaSuccess) return code;
  auto* const device = reinterpret_cast<void*>(found.address + offset);
  const Copy copy = direction == Direction::to_symbol ? Copy{device, other, bytes}
                                                      : Copy{const_cast<void*>(other), device, bytes};
  return copy_in(name, copy, kind, stream, wait);
}

}  // namespace

}  // namespace softgpu

using namespace softgpu;

extern "C" {

cudaError_t cudaMalloc(void** address, size_t bytes) {
  return call([&] { return allocate(address, bytes); });
}
cudaError_t cudaMallocAsync(void** address, size_t bytes, cudaStream_t /*stream*/) {
  return cudaMalloc(address, bytes);
}
// Waits for the device, as cards do in practice.
cudaError_t cudaFree(void* address) {
  return call([&] {
    streams().run_all();
    return release("cudaFree", address);
  });
}
cudaError_t cudaFreeAsync(void* address, cudaStream_t handle) {
  return call([&] {
    const auto stream = stream_of(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    streams().enqueue(stream, [=] { release("cudaFreeAsync", address); });
    return cudaSuccess;
  });
}
cudaError_t cudaMallocManaged(void** /*address*/, size_t /*bytes*/, unsigned /*flags*/) {
  return remember(refuse(cudaErrorNotSupported, "cudaMallocManaged is not supported"));
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  return call([&] {
    if (device().count < 1) return cudaErrorNoDevice;
    *total = global_memory().limit;
    *free = global_memory().limit - global_memory().used;
    return cudaSuccess;
  });
}

cudaError_t cudaHostAlloc(void** address, size_t bytes, unsigned flags) {
  return call([&] {
    if ((flags & cudaHostAllocMapped) != 0) {
      return refuse(cudaErrorNotSupported, "cudaHostAlloc: host memory cannot be mapped into the device");
    }
    bytes = (std::max<size_t>(bytes, 1) + kPage - 1) / kPage * kPage;
    *address = std::aligned_alloc(kPage, bytes);
    if (*address == nullptr) return cudaErrorMemoryAllocation;
    pinned_memory().ranges[number(*address)] = bytes;
    return cudaSuccess;
  });
}
cudaError_t cudaMallocHost(void** address, size_t bytes) {
  return cudaHostAlloc(address, bytes, cudaHostAllocDefault);
}
cudaError_t cudaFreeHost(void* address) {
  return call([&] {
    if (address == nullptr) return cudaSuccess;
    streams().run_all();
    if (pinned_memory().ranges.erase(number(address)) == 0) return cudaErrorInvalidValue;
    std::free(address);
    return cudaSuccess;
  });
}
cudaError_t cudaHostRegister(void* address, size_t bytes, unsigned flags) {
  return call([&] {
    if ((flags & cudaHostRegisterMapped) != 0) {
      return refuse(cudaErrorNotSupported, "cudaHostRegister: host memory cannot be mapped into the device");
    }
    if (bytes == 0) return cudaErrorInvalidValue;
    if (!pinned_memory().ranges.emplace(number(address), bytes).second)
      return cudaErrorHostMemoryAlreadyRegistered;
    return cudaSuccess;
  });
}
cudaError_t cudaHostUnregister(void* address) {
  return call([&] {
    streams().run_all();
    return pinned_memory().ranges.erase(number(address)) == 1 ? cudaSuccess
                                                              : cudaErrorHostMemoryNotRegistered;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address) {
  return call([&] {
    *attributes = {};
    attributes->device = -1;
    if (global_memory().allocation_of(number(address)).bytes > 0) {
      attributes->type = cudaMemoryTypeDevice;
      attributes->device = 0;
      attributes->devicePointer = const_cast<void*>(address);
    } else if (pinned_memory().contains(address, 1)) {
      attributes->type = cudaMemoryTypeHost;
      attributes->device = 0;
      attributes->hostPointer = const_cast<void*>(address);
    } else {
      attributes->type = cudaMemoryTypeUnregistered;
      attributes->hostPointer = const_cast<void*>(address);
    }
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return copy_in("cudaMemcpy", {to, from, bytes}, kind, cudaStreamLegacy, true);
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return copy_in("cudaMemcpyAsync", {to, from, bytes}, kind, stream, false);
}
cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                         size_t height, cudaMemcpyKind kind) {
  return copy_in("cudaMemcpy2D", {to, from, width, height, to_pitch, from_pitch}, kind, cudaStreamLegacy,
                 true);
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return copy_in("cudaMemcpy2DAsync", {to, from, width, height, to_pitch, from_pitch}, kind, stream, false);
}

cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  return fill_in("cudaMemset", {to, nullptr, bytes}, value, cudaStreamLegacy);
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return fill_in("cudaMemsetAsync", {to, nullptr, bytes}, value, stream);
}
cudaError_t cudaMemset2DAsync(void* to, size_t pitch, int value, size_t width, size_t height,
                              cudaStream_t stream) {
  return fill_in("cudaMemset2DAsync", {to, nullptr, width, height, pitch}, value, stream);
}
cudaError_t cudaMemset2D(void* to, size_t pitch, int value, size_t width, size_t height) {
  return fill_in("cudaMemset2D", {to, nullptr, width, height, pitch}, value, cudaStreamLegacy);
}

cudaError_t cudaGetSymbolAddress(void** address, const void* symbol) {
  return call([&] {
    const Symbol found = symbol_of(symbol);
    *address = reinterpret_cast<void*>(found.address);
    return found.address == 0 ? cudaErrorInvalidSymbol : cudaSuccess;
  });
}
cudaError_t cudaGetSymbolSize(size_t* bytes, const void* symbol) {
  return call([&] {
    const Symbol found = symbol_of(symbol);
    *bytes = found.bytes;
    return found.address == 0 ? cudaErrorInvalidSymbol : cudaSuccess;
  });
}
cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* from, size_t bytes, size_t offset,
                               cudaMemcpyKind kind) {
  return symbol_copy("cudaMemcpyToSymbol", Direction::to_symbol, symbol, from, bytes, offset, kind,
                     cudaStreamLegacy, true);
}
cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* from, size_t bytes, size_t offset,
                                    cudaMemcpyKind kind, cudaStream_t stream) {
  return symbol_copy("cudaMemcpyToSymbolAsync", Direction::to_symbol, symbol, from, bytes, offset, kind,
                     stream, false);
}
cudaError_t cudaMemcpyFromSymbol(void* to, const void* symbol, size_t bytes, size_t offset,
                                 cudaMemcpyKind kind) {
  return symbol_copy("cudaMemcpyFromSymbol", Direction::from_symbol, symbol, to, bytes, offset, kind,
                     cudaStreamLegacy, true);
}
cudaError_t cudaMemcpyFromSymbolAsync(void* to, const void* symbol, size_t bytes, size_t offset,
                                      cudaMemcpyKind kind, cudaStream_t stream) {
  return symbol_copy("cudaMemcpyFromSymbolAsync", Direction::from_symbol, symbol, to, bytes, offset, kind,
                     stream, false);
}

}  // extern "C"
