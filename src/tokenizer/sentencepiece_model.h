#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "tokenizer/encoding.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace fovea {

/// A SentencePiece model file, byte-pair or unigram (Kudo and Richardson 2018), read and run by its library.
class SentencePieceModel {
 public:
  /// Throws UserError (input): one line with `file`, for whatever is no such model. What the library believes
  /// unseen is checked before.
  SentencePieceModel(std::string_view bytes, const std::string& file);

  int64 vocabulary() const;
  int32 bos() const;  ///< -1: there is none
  int32 eos() const;
  void encode(std::string_view text, Encoding& out) const;
  /// The ids must be below vocabulary().
  std::string decode(std::span<const int32> ids) const;

 private:
  std::shared_ptr<const sentencepiece::SentencePieceProcessor> processor_;
};

/// Throws UserError (input) where a model file is not built as the library takes for granted.
void check_sentencepiece_file(std::string_view bytes, const std::string& file);

}  // namespace fovea
