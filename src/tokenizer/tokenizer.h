#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/encoding.h"

namespace fovea {

struct JsonTokenizer;
class SentencePieceModel;

/// Turns text into tokens and back. A value: cheap to copy, and any number of threads may use one.
///
/// Text is bytes, and need not be UTF-8: where it is not, a tokenizer that reads characters sees one U+FFFD
/// for each maximal ill-formed part, as after Python's bytes.decode(errors="replace").
class Tokenizer {
 public:
  Tokenizer() = default;  ///< each byte is a token

  const std::string& name() const { return name_; }  ///< "bytes", or the path of its file
  /// Names what it does, wherever its file lies: "bytes", or 32 hex digits of the file's content.
  const std::string& content() const { return content_; }
  bool is_bytes() const { return !json_ && !sentencepiece_; }
  int64 vocabulary() const { return vocabulary_; }  ///< ids are below it

  /// The tokens of a text as a whole, at most 4 GiB. No special tokens are put around it.
  Encoding encode(std::string_view text) const;
  /// The bytes that tokens stand for, special tokens as their text. Throws UserError (input): an id beyond
  /// the vocabulary, or one that no token has.
  std::string decode(std::span<const int32> ids) const;

  /// What is put before and after a text when special tokens are asked for: of a tokenizer.json what its
  /// post-processor says, of a SentencePiece model its bos, as Llama does.
  const std::vector<int32>& before_text() const { return before_; }
  const std::vector<int32>& after_text() const { return after_; }
  /// As far as the file says: of a tokenizer.json the first token before a text and the last after it.
  std::optional<int32> bos() const { return bos_; }
  std::optional<int32> eos() const { return eos_; }
  /// The encoding of a text with them around it; they stand for no bytes.
  Encoding encode_with_special(std::string_view text) const;

 private:
  friend class TextEncoder;
  friend Tokenizer read_tokenizer(std::span<const std::byte> file, const std::string& name);

  std::string name_ = "bytes", content_ = "bytes";
  int64 vocabulary_ = 256;
  std::vector<int32> before_, after_;
  std::optional<int32> bos_, eos_;
  std::shared_ptr<const JsonTokenizer> json_;
  std::shared_ptr<const SentencePieceModel> sentencepiece_;
};

/// "bytes", or the path of a tokenizer.json (byte-pair encodings) or of a SentencePiece .model. Throws
/// UserError (input): the file is missing, malformed or of a kind that is not supported. A file that was read
/// before and has not changed is not read again.
Tokenizer open_tokenizer(const std::string& name);
/// The same of a file's content: SentencePiece's where the name ends in .model, else tokenizer.json's.
Tokenizer read_tokenizer(std::span<const std::byte> file, const std::string& name);

/// Encodes texts one after another on one thread, and remembers the words that it has seen.
class TextEncoder {
 public:
  explicit TextEncoder(Tokenizer tokenizer);
  ~TextEncoder();
  TextEncoder(TextEncoder&& other) noexcept;
  /// Replaces what is in `out`; as Tokenizer::encode().
  void encode(std::string_view text, Encoding& out);

 private:
  struct Scratch;
  Tokenizer tokenizer_;
  std::unique_ptr<Scratch> scratch_;
};

}  // namespace fovea
