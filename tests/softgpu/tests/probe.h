#pragma once

// Runs a few PTX instructions on chosen operands, one set of operands per thread.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "machine/counters.h"
#include "machine/grid.h"
#include "memory/global_memory.h"

namespace softgpu {

/// What a register holds. Registers of 8 bits do not exist: a byte comes and goes in one of 16.
enum class Form : uint8_t { pred, b8, b16, b32, b64 };

/// Instructions that take %a0, %a1, ... and leave their results in %d0, %d1, ...; %p0 to %p3, %r0 to %r7, %q0
/// to %q7 (64 bits) and the shared variable `pool` (4096 bytes) are theirs to use, %lane and %thread are
/// known.
struct Snippet {
  std::string text;
  std::vector<Form> inputs, outputs;
};

using Words = std::vector<uint64_t>;

/// The results of each thread, given each thread's operands: operands[thread][input] ->
/// results[thread][output]. Bits above the register's are 0. Blocks are of 64 threads; the last is filled up
/// with copies of the last operands. Throws Fault.
std::vector<Words> run_probe(const Snippet& snippet, const std::vector<Words>& operands);

/// A module's text around kernels' bodies.
std::string module_text(const std::string& body);

/// A launch of a kernel in a module's text, its parameters all of 64 bits.
struct ModuleRun {
  std::string text;
  std::string kernel = "probe";
  Dim3 grid, block{64, 1, 1};
  uint32_t dynamic_shared_bytes = 0;
  std::vector<uint64_t> parameters;
};
/// Runs it in `memory`. Throws Fault.
Counters run_module(const ModuleRun& run, GlobalMemory& memory);

/// Device memory with `values` in it, in `memory` that the test owns.
template <class T>
uint64_t upload(GlobalMemory& memory, const std::vector<T>& values);
template <class T>
std::vector<T> download(const GlobalMemory& memory, uint64_t address, size_t count);

template <class T>
uint64_t upload(GlobalMemory& memory, const std::vector<T>& values) {
  const uint64_t address = memory.allocate(values.size() * sizeof(T));
  auto* const start = reinterpret_cast<T*>(memory.data + (address - memory.base));
  std::copy(values.begin(), values.end(), start);
  memory.mark_written(address, values.size() * sizeof(T));
  return address;
}
template <class T>
std::vector<T> download(const GlobalMemory& memory, uint64_t address, size_t count) {
  const auto* const start = reinterpret_cast<const T*>(memory.data + (address - memory.base));
  return {start, start + count};
}

}  // namespace softgpu
