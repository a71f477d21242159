// Exports: what nvcc's code calls to register and launch kernels, and questions about kernels.

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "machine/grid.h"
#include "memory/global_memory.h"
#include "runtime/device.h"
#include "runtime/handles.h"
#include "runtime/host_access.h"
#include "runtime/programs.h"
#include "runtime/status.h"

namespace softgpu {

namespace {

struct Configuration {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};
thread_local std::vector<Configuration> configurations;

KernelEntry* entry_of(const void* function) {
  auto& kernels = programs().kernels;
  const auto found = kernels.find(function);
  if (found != kernels.end()) return &found->second;
  // A cudaKernel_t is its entry's address.
  const auto same = std::find_if(kernels.begin(), kernels.end(),
                                 [&](const auto& kernel) { return &kernel.second == function; });
  return same == kernels.end() ? nullptr : &same->second;
}

std::string shape(dim3 grid, dim3 block, size_t shared) {
  return fmt::format("grid ({}, {}, {}), block ({}, {}, {}), {} bytes of dynamic shared memory", grid.x,
                     grid.y, grid.z, block.x, block.y, block.z, shared);
}

bool possible(dim3 grid, dim3 block) {
  const auto from_one_to = [](unsigned value, unsigned most) { return value >= 1 && value <= most; };
  return from_one_to(grid.x, Device::grid_x) && from_one_to(grid.y, Device::grid_y) &&
         from_one_to(grid.z, Device::grid_z) && from_one_to(block.x, Device::block_x) &&
         from_one_to(block.y, Device::block_y) && from_one_to(block.z, Device::block_z) &&
         uint64_t{block.x} * block.y * block.z <= Device::threads_per_block;
}

std::vector<std::byte> parameters_of(const ptx::Kernel& kernel, void** arguments) {
  std::vector<std::byte> block(kernel.parameter_bytes);
  for (size_t i = 0; i < kernel.parameters.size(); ++i) {
    std::memcpy(block.data() + kernel.parameters[i].offset, arguments[i], kernel.parameters[i].bytes);
  }
  return block;
}

cudaError_t launch(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared,
                   cudaStream_t stream) {
  const KernelEntry* const entry = entry_of(function);
  if (entry == nullptr)
    return refuse(cudaErrorInvalidDeviceFunction, "a launch of something that is no kernel");
  const auto in = stream_of(stream);
  if (in == nullptr) return cudaErrorInvalidResourceHandle;
  const std::string what = fmt::format("launch of {}, {}", entry->name, shape(grid, block, shared));
  if (!possible(grid, block)) return refuse(cudaErrorInvalidConfiguration, what + ": no such grid or block");
  if (shared > static_cast<size_t>(std::max(0, entry->dynamic_shared_limit()))) {
    return refuse(cudaErrorInvalidValue,
                  fmt::format("{}: at most {} may be asked for, {} are static "
                              "(cudaFuncSetAttribute, cudaFuncAttributeMaxDynamicSharedMemorySize)",
                              what, entry->dynamic_shared_limit(), entry->static_shared()));
  }
  const ptx::Kernel& kernel = entry->kernel();
  Launch ready{&entry->program->module(),     &kernel,
               {grid.x, grid.y, grid.z},      {block.x, block.y, block.z},
               static_cast<uint32_t>(shared), parameters_of(kernel, arguments)};
  try {
    check_launch(ready);
  } catch (const Fault& fault) {
    if (fault.kind == "launch") return refuse(cudaErrorInvalidValue, fault.what());
    throw;
  }
  streams().enqueue(in,
                    [ready = std::move(ready)] { run_grid(ready, global_memory(), programs().counters); });
  return cudaSuccess;
}

int round_up(int value, int to) { return (value + to - 1) / to * to; }

// Blocks that fit on a multiprocessor (CUDA occupancy calculator: by threads, by registers of whole warps, by
// shared memory).
int blocks_per_multiprocessor(const KernelEntry& entry, int threads, int dynamic_shared) {
  if (threads < 1 || threads > Device::threads_per_block) return 0;
  const int warps = (threads + Device::warp - 1) / Device::warp;
  int blocks = std::min(Device::blocks_per_multiprocessor,
                        Device::threads_per_multiprocessor / (warps * Device::warp));
  if (const int registers = entry.registers(); registers > 0) {
    // A warp's registers come from one of four parts of the file.
    const int per_warp = round_up(registers * Device::warp, Device::register_unit);
    const int warps_that_fit = Device::registers_per_multiprocessor / per_warp / 4 * 4;
    blocks = std::min(blocks, warps_that_fit / warps);
  }
  const int shared = round_up(entry.static_shared() + dynamic_shared + Device::shared_reserved_per_block,
                              Device::shared_unit);
  return std::min(blocks, device().shared_per_multiprocessor() / shared);
}

template <class Body>
cudaError_t call_with_kernel(const void* function, const Body& body) {
  return call([&] {
    KernelEntry* const entry = entry_of(function);
    return entry == nullptr ? cudaErrorInvalidDeviceFunction : body(*entry);
  });
}

cudaError_t set_attribute(KernelEntry& entry, cudaFuncAttribute attribute, int value) {
  switch (attribute) {
    case cudaFuncAttributeMaxDynamicSharedMemorySize:
      if (value < 0 || value + entry.static_shared() > device().shared_per_block_opt_in) {
        return refuse(
            cudaErrorInvalidValue,
            fmt::format("{} wants {} bytes of dynamic and {} of static shared memory: a block may have {}",
                        entry.name, value, entry.static_shared(), device().shared_per_block_opt_in));
      }
      entry.max_dynamic_shared = value;
      return cudaSuccess;
    case cudaFuncAttributePreferredSharedMemoryCarveout:
      return value >= -1 && value <= 100 ? cudaSuccess : cudaErrorInvalidValue;
    default:
      return refuse(cudaErrorNotSupported, fmt::format("cudaFuncSetAttribute: attribute {} is not supported",
                                                       static_cast<int>(attribute)));
  }
}

cudaFuncAttributes attributes_of(const KernelEntry& entry) {
  cudaFuncAttributes result{};
  const ptx::Kernel& kernel = entry.kernel();
  result.sharedSizeBytes = static_cast<size_t>(entry.static_shared());
  for (const ptx::Variable& variable : kernel.variables) {
    if (variable.space == ptx::Space::local) result.localSizeBytes += variable.bytes;
  }
  result.maxThreadsPerBlock =
      kernel.max_threads > 0 ? static_cast<int>(kernel.max_threads) : Device::threads_per_block;
  result.numRegs = entry.registers();
  result.ptxVersion = result.binaryVersion = Device::major * 10 + Device::minor;
  result.maxDynamicSharedSizeBytes = entry.dynamic_shared_limit();
  result.preferredShmemCarveout = -1;
  return result;
}

}  // namespace

}  // namespace softgpu

using namespace softgpu;

extern "C" {

void** __cudaRegisterFatBinary(void* wrapper) {
  const std::scoped_lock lock(runtime_mutex());
  watch_host_accesses();
  return reinterpret_cast<void**>(new std::shared_ptr<Program>(std::make_shared<Program>(wrapper)));
}
void __cudaRegisterFatBinaryEnd(void** /*program*/) {}
void __cudaUnregisterFatBinary(void** program) {
  delete reinterpret_cast<std::shared_ptr<Program>*>(program);
}
char __cudaInitModule(void** /*program*/) { return 1; }

void __cudaRegisterFunction(void** program, const char* function, char* /*device_function*/, const char* name,
                            int /*thread_limit*/, uint3* /*tid*/, uint3* /*bid*/, dim3* /*block*/,
                            dim3* /*grid*/, int* /*warp*/) {
  const std::scoped_lock lock(runtime_mutex());
  programs().kernels[function] = {*reinterpret_cast<std::shared_ptr<Program>*>(program), name};
}

void __cudaRegisterVar(void** program, char* variable, char* /*device_address*/, const char* name,
                       int /*ext*/, size_t /*size*/, int /*constant*/, int /*global*/) {
  const std::scoped_lock lock(runtime_mutex());
  programs().variables[variable] = {*reinterpret_cast<std::shared_ptr<Program>*>(program), name};
}

void __cudaRegisterManagedVar(void** /*program*/, void** /*variable*/, char* /*device_address*/,
                              const char* name, int /*ext*/, size_t /*size*/, int /*constant*/,
                              int /*global*/) {
  refuse(cudaErrorNotSupported, fmt::format("__managed__ {}: managed memory is not supported", name));
  std::abort();
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, CUstream_st* stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  if (configurations.empty()) return remember(cudaErrorMissingConfiguration);
  const Configuration& top = configurations.back();
  *grid = top.grid;
  *block = top.block;
  *shared = top.shared;
  *static_cast<cudaStream_t*>(stream) = top.stream;
  configurations.pop_back();
  return cudaSuccess;
}

cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  return call_with_kernel(function, [&](KernelEntry& entry) {
    *kernel = reinterpret_cast<cudaKernel_t>(&entry);
    return cudaSuccess;
  });
}
cudaError_t cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  return __cudaGetKernel(kernel, function);
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared,
                               cudaStream_t stream) {
  return call([&] { return launch(kernel, grid, block, arguments, shared, stream); });
}
cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared,
                             cudaStream_t stream) {
  return call([&] { return launch(function, grid, block, arguments, shared, stream); });
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function, void** arguments) {
  return call([&] {
    if (config->numAttrs != 0) {
      return refuse(cudaErrorNotSupported, "cudaLaunchKernelEx: launch attributes are not supported");
    }
    return launch(function, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes,
                  config->stream);
  });
}
cudaError_t cudaLaunchCooperativeKernel(const void* /*function*/, dim3 /*grid*/, dim3 /*block*/,
                                        void** /*arguments*/, size_t /*shared*/, cudaStream_t /*stream*/) {
  return remember(refuse(cudaErrorNotSupported, "cudaLaunchCooperativeKernel is not supported"));
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  return call_with_kernel(function,
                          [&](KernelEntry& entry) { return set_attribute(entry, attribute, value); });
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  return call_with_kernel(function, [&](const KernelEntry& entry) {
    *attributes = attributes_of(entry);
    return cudaSuccess;
  });
}
cudaError_t cudaFuncSetCacheConfig(const void* function, cudaFuncCache /*config*/) {
  return call_with_kernel(function, [](const KernelEntry&) { return cudaSuccess; });
}
cudaError_t cudaFuncGetName(const char** name, const void* function) {
  return call_with_kernel(function, [&](const KernelEntry& entry) {
    *name = entry.name.c_str();
    return cudaSuccess;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* function,
                                                                   int threads, size_t shared,
                                                                   unsigned /*flags*/) {
  return call_with_kernel(function, [&](const KernelEntry& entry) {
    *blocks = blocks_per_multiprocessor(entry, threads, static_cast<int>(shared));
    return cudaSuccess;
  });
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function, int threads,
                                                          size_t shared) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads, shared, 0);
}

}  // extern "C"
