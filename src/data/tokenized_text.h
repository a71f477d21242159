#pragma once

#include <vector>

#include "core/types.h"
#include "data/corpus.h"
#include "tokenizer/tokenizer.h"

namespace fovea {

/// A corpus as the tokens of its documents, each encoded by itself: no token reaches from one into the next.
struct TokenizedText {
  std::vector<int32> tokens;
  std::vector<int64> documents;  ///< token at which each document begins that has any: climbs strictly from 0
  /// Token at which each whole block of text begins, then the end of the last: a token belongs to the block
  /// in which its first byte lies. (blocks + 1), never falling; a block within a long token has none.
  std::vector<int64> blocks;
};

/// On all threads that there are; the same whatever their number. Throws UserError as TextEncoder::encode().
TokenizedText tokenize(const Corpus& corpus, const Tokenizer& tokenizer, int64 block_bytes);

}  // namespace fovea
