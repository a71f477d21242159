#include "runtime/programs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "machine/fault.h"
#include "memory/global_memory.h"
#include "ptx/parser.h"
#include "runtime/device.h"
#include "runtime/elf.h"
#include "runtime/fatbin.h"

namespace softgpu {

namespace {

// The PTX for the highest architecture that the card can run.
std::string_view ptx_text(const void* wrapper) {
  const FatbinEntry* best = nullptr;
  const auto entries = read_fatbin(wrapper);
  for (const FatbinEntry& entry : entries) {
    const bool runs =
        entry.kind == FatbinEntry::Kind::ptx && entry.arch <= Device::major * 10 + Device::minor;
    if (runs && (best == nullptr || entry.arch > best->arch)) best = &entry;
  }
  if (best == nullptr) {
    throw Fault("unsupported",
                "the fat binary has no PTX for compute_80: build with -gencode "
                "arch=compute_80,code=compute_80");
  }
  return best->bytes;
}

void place(ptx::Variable& variable) {
  GlobalMemory& memory = global_memory();
  variable.address = memory.allocate(variable.bytes);
  if (variable.address == 0) {
    throw Fault("out of memory", fmt::format("{} bytes for variable {}", variable.bytes, variable.name));
  }
  std::byte* const bytes = memory.data + (variable.address - memory.base);
  std::memset(bytes, 0, variable.bytes);
  std::copy(variable.initial.begin(), variable.initial.end(), bytes);
  memory.mark_written(variable.address, variable.bytes);
}

void write_counters() {
  const char* const path = std::getenv("SOFTGPU_COUNTERS");
  if (path == nullptr) return;
  std::FILE* const file = std::fopen(path, "w");
  if (file == nullptr) {
    fmt::print(stderr, "softgpu: cannot write the counters to {}\n", path);
    return;
  }
  fmt::print(file, "{}\n", to_json(programs().counters));
  std::fclose(file);
}

}  // namespace

void Program::load() {
  auto module = std::make_unique<ptx::Module>(ptx::parse(ptx_text(wrapper_)));
  for (ptx::Variable& variable : module->variables) {
    if (variable.space != ptx::Space::shared) place(variable);
  }
  module_ = std::move(module);
}

const ptx::Module& Program::module() {
  if (module_ == nullptr) load();
  return *module_;
}

int Program::registers(const std::string& kernel) const {
  for (const FatbinEntry& entry : read_fatbin(wrapper_)) {
    if (entry.kind == FatbinEntry::Kind::elf && entry.arch == Device::major * 10 + Device::minor) {
      return registers_in_elf(entry.bytes, kernel);
    }
  }
  return 0;
}

const ptx::Kernel& KernelEntry::kernel() const {
  const ptx::Kernel* const found = program->module().kernel(name);
  if (found == nullptr) throw Fault("syntax", fmt::format("the module has no kernel {}", name));
  return *found;
}

int KernelEntry::static_shared() const {
  return static_cast<int>(ptx::shared_layout(program->module(), kernel()).static_bytes);
}

int KernelEntry::registers() const { return program->registers(name); }

int KernelEntry::dynamic_shared_limit() const {
  return max_dynamic_shared >= 0 ? max_dynamic_shared : Device::shared_per_block - static_shared();
}

Programs& programs() {
  // Never destroyed: programs launch from destructors, too.
  static Programs& all = *[] {
    auto* const made = new Programs;
    std::atexit(write_counters);
    return made;
  }();
  return all;
}

}  // namespace softgpu
