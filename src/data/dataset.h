#pragma once

#include <string>
#include <variant>
#include <vector>

#include "config/config.h"
#include "core/types.h"
#include "data/shard.h"
#include "data/split.h"
#include "data/token_files.h"
#include "tokenizer/tokenizer.h"

namespace fovea {

/// A target that is not scored.
inline constexpr int32 kIgnoredTarget = -1;

/// Rows of tokens and what follows each, on the host.
struct Batch {
  int64 rows = 0, length = 0;    ///< B, T
  std::vector<int32> tokens;     ///< (B, T)
  std::vector<int32> targets;    ///< (B, T); kIgnoredTarget: padding, or the next token is another document's
  std::vector<int32> positions;  ///< (B, T), from 0 in each row and, with documents, in each document
  /// With documents: their bounds over the rows laid end to end, climbing strictly from 0 to B * T, every
  /// row's beginning among them. Empty without.
  std::vector<int64> documents;
  int64 scored = 0;  ///< targets that are scored
};

/// The tokens of a corpus and their split. Batches are pure functions of their arguments: the cursor that a
/// checkpoint saves is the index of the next sample, whatever the batch size, ranks or threads.
class Dataset {
 public:
  int64 vocabulary() const {
    return std::visit([](const auto& tokens) { return tokens.vocabulary(); }, tokens_);
  }
  int64 train_tokens() const { return train_.tokens(); }
  int64 held_out_tokens() const { return held_out_.tokens(); }
  /// Bytes of the blocks of text that are held out, the same whatever the tokenizer; bits per byte = nats per
  /// token / ln 2 * held_out_tokens / held_out_bytes. 0: nobody knows, the corpus being tokens.
  int64 held_out_bytes() const {
    return std::holds_alternative<Shard>(tokens_) ? held_out_.blocks() * config_.block_bytes : 0;
  }
  /// Names the tokens and how they are split, for the identity of a run: 32 hex digits.
  const std::string& fingerprint() const { return fingerprint_; }

  /// Samples [first_sample, first_sample + rows) of the order that `seed` draws: each is T + 1 consecutive
  /// tokens of the training split, beginning at a uniform offset in [0, train_tokens - T - 1), with
  /// replacement. Throws UserError (input) when the split has fewer than T + 2 tokens.
  void train_batch(uint64 seed, int64 first_sample, int64 rows, int64 T, Batch& out) const;

  /// Non-overlapping windows of T tokens and the token after them in the held-out split.
  int64 evaluation_windows(int64 T) const;
  /// Windows [first_window, first_window + rows); rows beyond the last window are padding: token 0, no
  /// target.
  void evaluation_batch(int64 first_window, int64 rows, int64 T, Batch& out) const;

 private:
  friend Dataset open_dataset(const DataConfig& config, int64 context);
  friend std::string describe(const Dataset& dataset);
  struct Stream {
    const Split& split;
    const std::vector<int64>& document_starts;
  };
  int64 tokens() const {
    return std::visit([](const auto& tokens) { return tokens.tokens(); }, tokens_);
  }
  void read(int64 begin, int64 count, int32* out) const {
    std::visit([&](const auto& tokens) { tokens.read(begin, count, out); }, tokens_);
  }
  void check_windows(int64 T) const;
  void check_length(int64 T) const;
  void read_row(const Stream& stream, int64 begin, int64 row, Batch& out) const;
  void mark_documents(const Stream& stream, int64 begin, int64 row, Batch& out) const;

  DataConfig config_;
  std::variant<Shard, TokenFiles> tokens_;  ///< text in the cache, or tokens where they lie
  Tokenizer tokenizer_;                     ///< of text
  Split train_, held_out_;
  std::vector<int64> train_documents_, held_out_documents_;  ///< empty without data.documents
  std::string fingerprint_;
};

/// Opens the token files that `config` names; or reads its text, makes its shard in config.cache unless it is
/// there, and opens that. Throws UserError: usage (a value out of range), input (the corpus or its shard is
/// not as it must be, or either split has no window of `context` tokens), failed (the cache cannot be
/// written).
Dataset open_dataset(const DataConfig& config, int64 context);

/// The vocabulary of the dataset that `config` names, before it is opened: text is not read for it. Throws as
/// open_dataset.
int64 vocabulary_of(const DataConfig& config);
/// In a word: "256, bytes", "32000, tokenizer.json".
std::string describe_vocabulary(const DataConfig& config);

/// One line: corpus, sizes, split.
std::string describe(const Dataset& dataset);

}  // namespace fovea
