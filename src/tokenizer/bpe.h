#pragma once

#include <array>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tokenizer/aligned_text.h"
#include "tokenizer/encoding.h"
#include "tokenizer/merge_table.h"
#include "tokenizer/word_cache.h"

namespace fovea {

/// What a byte-pair encoding (Sennrich et al. 2016) is made from.
struct BpeParts {
  struct Token {
    std::string text;  ///< as a word has it: raw bytes where the words are bytes
    int32 id = 0;
  };
  struct MergedPair {
    int32 left = 0, right = 0, id = 0;
  };
  std::vector<Token> tokens;
  std::vector<MergedPair> merges;  ///< the first ones first
  bool bytes = false;              ///< words are bytes (GPT-2), else characters
  bool ignore_merges = false;      ///< a word that is a token is that token
  bool fuse_unknown = false;       ///< neighbouring unknown characters are one token
  int32 unknown = -1;              ///< -1: unknown characters are left out
  bool byte_fallback = false;
  std::array<int32, 256> byte_tokens{};  ///< byte_fallback: <0x00> ... <0xFF>; -1: there is none
};

/// What one thread needs to encode, and remembers.
struct BpeScratch {
  struct Symbol {
    int32 id = 0;
    uint32 begin = 0;               // byte of the word
    uint32 previous = 0, next = 0;  // in long words; kGone: merged away
    uint32 rank = 0;                // of the merge with the next one, in short words
  };
  struct Candidate {
    uint32 rank, at;
    int32 id;
  };
  WordCache cache;
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
  std::vector<WordToken> tokens;
};

class Bpe {
 public:
  explicit Bpe(BpeParts parts);
  /// Appends the tokens of a word.
  void encode(const AlignedView& word, BpeScratch& scratch, Encoding& out) const;

 private:
  void encode_piece(const AlignedView& word, BpeScratch& scratch, Encoding& out) const;
  void tokenize(std::string_view word, BpeScratch& scratch) const;
  void add_symbols(std::string_view word, BpeScratch& scratch) const;
  int32 symbol_of(std::string_view word, size_t at, uint32 bytes) const;
  void merge_short(BpeScratch& scratch) const;
  void merge_long(BpeScratch& scratch) const;
  bool may_cut(std::string_view word, size_t at) const;

  MergeTable merges_;
  std::unordered_map<std::string, int32> ids_;    // of whole words, where merges may be ignored
  std::array<int32, 256> single_;                 // token of a byte, or of an ASCII character; -1: none
  std::unordered_map<uint32, int32> characters_;  // of other characters
  std::array<int32, 256> byte_tokens_;
  bool bytes_, ignore_merges_, fuse_unknown_, byte_fallback_;
  int32 unknown_;
  // Words of characters may be cut between two tokens where no merge joins one that ends with the first
  // character to one that begins with the second: these are the pairs that some merge joins.
  bool cuts_ = false;
  std::unordered_set<uint64> joined_;
};

}  // namespace fovea
