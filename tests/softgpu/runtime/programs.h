#pragma once

// What the program's source files bring along: kernels and device variables, by their host addresses.

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "machine/counters.h"
#include "machine/grid.h"
#include "ptx/module.h"

namespace softgpu {

/// One source file's device code. Its PTX is read when something of it is first used.
class Program {
 public:
  explicit Program(const void* fatbin_wrapper) : wrapper_(fatbin_wrapper) {}
  /// Throws Fault ("syntax", "unsupported").
  const ptx::Module& module();
  /// Registers per thread that ptxas gave the kernel; 0 where there is no machine code to look at.
  int registers(const std::string& kernel) const;

 private:
  void load();
  const void* wrapper_;
  std::unique_ptr<ptx::Module> module_;
};

/// A kernel as the program knows it.
struct KernelEntry {
  std::shared_ptr<Program> program;
  std::string name;
  int max_dynamic_shared = -1;  // cudaFuncAttributeMaxDynamicSharedMemorySize; -1: not asked for

  const ptx::Kernel& kernel() const;  // throws Fault ("syntax") if the module has no such kernel
  int static_shared() const;
  int registers() const;
  /// Dynamic shared memory that a launch may ask for.
  int dynamic_shared_limit() const;
};

struct VariableEntry {
  std::shared_ptr<Program> program;
  std::string name;
};

/// Everything that was registered.
struct Programs {
  std::unordered_map<const void*, KernelEntry> kernels;      // by host function; entries stay where they are
  std::unordered_map<const void*, VariableEntry> variables;  // by host variable
  Counters counters;                                         // of all launches so far
};
Programs& programs();

}  // namespace softgpu
