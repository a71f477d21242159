#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/types.h"

namespace fovea {

/// A token of a word, and the byte of the word at which it begins.
struct WordToken {
  int32 id = 0;
  uint32 begin = 0;
};

/// The tokens of words that were seen. Forgets all of them when they take too much memory.
class WordCache {
 public:
  static constexpr size_t kLongestWord = 255;

  WordCache();
  /// Null: not known. What it points at holds until the next insert.
  const std::span<const WordToken>* find(std::string_view word);
  /// The word that find() was asked for last and did not know.
  void insert(std::string_view word, std::span<const WordToken> tokens);

 private:
  struct Slot {
    uint64 hash = 0;  // 0: free
    uint32 text = 0, tokens = 0;
    uint32 bytes = 0, count = 0;
  };
  void clear();
  void grow();

  std::vector<Slot> slots_;
  size_t used_ = 0;
  std::string text_;
  std::vector<WordToken> tokens_;
  uint64 asked_ = 0;
  std::span<const WordToken> found_;
};

}  // namespace fovea
