#pragma once

#include "machine/op.h"

namespace softgpu {

/// The handler of a load of `count` elements of `element` into registers of `register_bytes` each, or of a
/// store from them; null where there is none. Loads have destinations first, then the address; stores the
/// address, then sources.
Handler load_handler(ptx::Type element, int count, int register_bytes);
Handler store_handler(ptx::Type element, int count, int register_bytes);

/// The handler of atom (with a destination) or red: `operation` is add, cas, ...; null where there is none.
Handler atomic_handler(const std::string& operation, const std::string& type, bool returns);

}  // namespace softgpu
