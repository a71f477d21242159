#pragma once

#include <string>
#include <string_view>

#include "core/types.h"

namespace fovea {

/// What turns text into tokens. "bytes": each byte is a token.
struct Tokenizer {
  std::string name;
  int64 vocabulary = 0;  ///< tokens are [0, vocabulary)
};

/// Throws UserError (usage) naming the choices.
Tokenizer tokenizer_named(std::string_view name);

}  // namespace fovea
