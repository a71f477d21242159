#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "core/file.h"
#include "data/token_span.h"

namespace fovea {

/// What a shard holds; data/README.md shows the bytes.
struct ShardContent {
  int64 vocabulary = 0;               ///< tokens are below it
  int64 token_bytes = 1;              ///< 1, 2 or 4: an unsigned little-endian integer
  uint64 source = 0;                  ///< names the corpus and tokenizer that it was made from
  std::span<const std::byte> tokens;  ///< (tokens, token_bytes)
  std::span<const int64> documents;   ///< token at which each begins: climbs strictly from 0
  /// Token at which each block of text begins, and the end of the last; empty where a token is a byte.
  std::span<const int64> blocks = {};
};

/// Writes a whole shard or none; throws UserError (failed) when the disk refuses.
void write_shard(const std::filesystem::path& path, const ShardContent& content);

/// A memory-mapped file of tokens. Everything in it is checked when it is opened: throws UserError (input)
/// when it is missing, no shard, of another version, truncated or longer than it says, altered (checksums of
/// header and payload), or holds a token beyond its vocabulary.
class Shard {
 public:
  Shard() = default;
  explicit Shard(const std::filesystem::path& path);

  int64 vocabulary() const { return vocabulary_; }
  int64 tokens() const { return tokens_.size(); }
  uint64 source() const { return source_; }
  const std::vector<int64>& documents() const { return documents_; }
  const std::vector<int64>& blocks() const { return blocks_; }
  std::span<const std::byte> token_bytes() const { return tokens_.bytes; }
  /// Tokens [begin, begin + count) into out.
  void read(int64 begin, int64 count, int32* out) const {
    tokens_.read(begin, count, out);
    release_pages(tokens_.bytes);
  }

 private:
  MappedFile file_;
  int64 vocabulary_ = 0;
  uint64 source_ = 0;
  TokenSpan tokens_;
  std::vector<int64> documents_, blocks_;
};

}  // namespace fovea
