#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/types.h"

namespace fovea {

/// The printable character that stands for a byte in the files of byte-level tokenizers (GPT-2's encoder.py).
uint32 character_of_byte(unsigned char byte);
std::string spelled_bytes(std::string_view bytes);
/// The bytes that a text of such characters stands for; nullopt: it has others.
std::optional<std::string> bytes_of_spelling(std::string_view text);

}  // namespace fovea
