#pragma once

#include <string>

#include "model/shape.h"

namespace fovea {

/// The choices that a family and a configuration came to, one a line, indented by two: what "family", 0 and
/// -1 mean.
std::string describe(const DecoderShape& shape);

/// "2"; where layers differ, each one's: "8/4/4/2".
std::string kv_heads_text(const DecoderShape& shape);

}  // namespace fovea
