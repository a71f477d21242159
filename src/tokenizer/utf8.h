#pragma once

#include <string>
#include <string_view>

#include "core/types.h"

namespace fovea {

struct CodePoint {
  uint32 value = 0;
  uint32 bytes = 1;  ///< of its UTF-8
};

/// The code point that begins at byte i, or that ends before it, of a valid text.
CodePoint code_point_at(std::string_view text, size_t i);
CodePoint code_point_before(std::string_view text, size_t i);
void append_utf8(std::string& text, uint32 code_point);

/// The first byte at or after `from` that is not of valid UTF-8, or the text's size.
size_t first_ill_formed(std::string_view text, size_t from = 0);
/// Bytes of the maximal ill-formed part that begins at byte i (Unicode 3.9, table 3-8): what becomes one
/// U+FFFD, as Python's bytes.decode(errors="replace") does it.
size_t ill_formed_bytes(std::string_view text, size_t i);

/// The property White_Space.
bool is_white_space(uint32 code_point);
/// The categories Nd, Nl and No.
bool is_numeric(uint32 code_point);
/// What \w matches in Unicode's annex 18: letters, marks, digits, connectors and joiners.
bool is_word_part(uint32 code_point);

}  // namespace fovea
