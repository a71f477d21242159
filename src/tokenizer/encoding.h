#pragma once

#include <vector>

#include "core/types.h"

namespace fovea {

/// A text as tokens. Token i stands for the bytes [begins[i], begins[i + 1]) of the text, the last one for
/// all to its end: every byte belongs to one token. A token may stand for none, such as a space that a
/// tokenizer puts before a text, or all but one of the tokens that a normal form makes of a character.
struct Encoding {
  std::vector<int32> ids;
  std::vector<int64> begins;  ///< (ids.size()), never falling from 0
};

}  // namespace fovea
