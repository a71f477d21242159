#pragma once

#include <string_view>

#include "ptx/module.h"

namespace softgpu::ptx {

/// The module that `text` says. Throws Fault ("syntax") with the line where it says something else;
/// instructions are taken as they are written and judged when a kernel is first launched.
Module parse(std::string_view text);

}  // namespace softgpu::ptx
