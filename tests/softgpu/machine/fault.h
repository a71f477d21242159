#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace softgpu {

/// What a GPU would do wrong silently, or refuse. `kind` is one of: "out of bounds", "misaligned",
/// "uninitialised", "race", "pending copy", "divergent barrier", "deadlock", "inactive lane", "unsupported",
/// "launch", "syntax", "trap". what(): kernel, block, thread, PTX line, CUDA source line, address, and what
/// was expected.
struct Fault : std::runtime_error {
  std::string kind;
  Fault(std::string what_kind, const std::string& text)
      : std::runtime_error(what_kind + ": " + text), kind(std::move(what_kind)) {}
};

}  // namespace softgpu
