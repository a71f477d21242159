#pragma once

#include <memory>

#include "machine/op.h"

namespace softgpu {

/// The kernel as a program. Variables of the module have their addresses by then. Throws Fault
/// ("unsupported") with the opcode where the machine does not know one, or knows it with other operands.
std::unique_ptr<Program> decode(const ptx::Module& module, const ptx::Kernel& kernel);

}  // namespace softgpu
