#pragma once

#include <string>

#include "machine/op.h"

namespace softgpu {

/// The handler of cvt{.sat}.to.from between integer types, by the bytes of the registers; null where there is
/// none.
Handler integer_convert_handler(const std::string& to, const std::string& from, bool saturates,
                                int destination_bytes, int source_bytes);

}  // namespace softgpu
