#pragma once

#include <string>
#include <vector>

#include "core/file.h"
#include "data/token_span.h"

namespace fovea {

/// Token files as others prepare them, memory-mapped where they lie and laid end to end:
///   llm.c    256 int32, the first three of them 20240520, 1, number of tokens, then tokens of uint16; or
///            20240801, 7, number of tokens, then tokens of uint32 (Llama 3)
///   nanoGPT  tokens of uint16 and nothing else
/// All little-endian, as they must be of one width.
class TokenFiles {
 public:
  TokenFiles() = default;
  /// vocabulary 0: the largest token + 1. Every token is looked at. Throws UserError (input), with the file
  /// and the byte where it goes wrong.
  TokenFiles(const std::vector<std::string>& paths, int64 vocabulary);

  int64 vocabulary() const { return vocabulary_; }
  int64 tokens() const { return ends_.empty() ? 0 : ends_.back(); }
  int64 files() const { return static_cast<int64>(parts_.size()); }
  int64 token_bytes() const { return parts_.empty() ? 2 : parts_.front().width; }
  /// Of the tokens and of how they are cut into files: 32 hex digits.
  std::string hash() const;
  /// Tokens [begin, begin + count) into out.
  void read(int64 begin, int64 count, int32* out) const;

 private:
  std::vector<MappedFile> files_;
  std::vector<TokenSpan> parts_;  ///< of each file
  std::vector<int64> ends_;       ///< tokens up to the end of each file
  int64 vocabulary_ = 0;
};

}  // namespace fovea
