#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/encoding.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/token_decoder.h"

namespace fovea {

/// What a tokenizer.json says, in the order in which a text goes through it.
struct JsonTokenizer {
  AddedTokenFinder added;  ///< looked for in the text as it is
  std::vector<Normalizer> normalizers;
  AddedTokenFinder added_normalized;  ///< and in normalised text
  std::vector<PreTokenizer> pre_tokenizers;
  std::shared_ptr<const Bpe> model;
  std::vector<DecodeStep> decoder;
  bool spaced = false;               ///< no decoder: texts of tokens are joined by spaces
  std::vector<std::string> texts;    ///< of each token; raw bytes where words are bytes
  std::vector<int32> before, after;  ///< special tokens that the post-processor puts around a text
  std::vector<int32> special;
};

/// What one thread needs to encode, and remembers.
struct JsonTokenizerScratch {
  Matcher matcher;
  AlignedText repaired;
  Normalization normalization;
  BpeScratch bpe;
};

/// Appends the tokens of a text, none of the post-processor's.
void encode(const JsonTokenizer& tokenizer, std::string_view text, JsonTokenizerScratch& scratch,
            Encoding& out);
/// The ids must be below texts.size().
std::string decode(const JsonTokenizer& tokenizer, std::span<const int32> ids);

/// Reads a tokenizer.json of a byte-pair encoding. Throws UserError (input): one line with `file`, the member
/// and what is wrong with it or not supported.
JsonTokenizer read_json_tokenizer(std::string_view text, const std::string& file);

}  // namespace fovea
