#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/types.h"

namespace fovea {

/// How a byte-level byte-pair encoding is trained.
struct BpeTraining {
  std::string pattern = "gpt2";  ///< how text is cut into words: gpt2 or llama3
  int64 vocabulary = 0;          ///< tokens wanted: <|endoftext|>, 256 bytes and what is merged of them
};

struct TrainedBpe {
  std::string json;  ///< a tokenizer.json
  int64 tokens = 0;  ///< fewer than wanted where no pair occurs twice any more
  int64 words = 0;   ///< different ones
};

/// Trains on documents: again and again the pair of neighbouring tokens that occurs most often within words
/// becomes a token (Sennrich et al. 2016; bytes: Radford et al. 2019), as long as it occurs twice. Of pairs
/// that occur as often, the one with the lowest left token, then the lowest right token. Throws UserError
/// (usage): a vocabulary under 257 tokens, or no such pattern.
TrainedBpe train_bpe(const std::vector<std::string_view>& documents, const BpeTraining& training);

}  // namespace fovea
