#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/types.h"

namespace fovea {

/// A token that stands for a text as a whole, beside the model: "added_tokens" of tokenizer.json.
struct AddedToken {
  int32 id = 0;
  std::string content;
  bool single_word = false;             ///< only where no word goes on at its bounds
  bool lstrip = false, rstrip = false;  ///< takes the white space before or after it
  bool normalized = false;              ///< looked for in normalised text
  bool special = false;
};

/// Looks for added tokens in a text: of those that begin at the first place where any does, the longest.
class AddedTokenFinder {
 public:
  /// texts: what is looked for, of each token.
  void add(const AddedToken& token, std::string_view text);
  bool empty() const { return tokens_.empty(); }

  /// Calls found(begin, end, token or nullptr) for the stretches of a text.
  template <class F>
  void split(std::string_view text, F&& found) const {
    size_t done = 0;
    for (size_t at = 0; at < text.size();) {
      const auto [end, token] = longest_at(text, at);
      if (!token) {
        ++at;
        continue;
      }
      if (const Range place = place_of(*token, text, at, end, done); place.end > 0) {
        const auto begin = static_cast<size_t>(place.begin);
        if (done < begin) found(done, begin, nullptr);
        done = static_cast<size_t>(place.end);
        found(begin, done, token);
      }
      at = end;
    }
    if (done < text.size()) found(done, text.size(), nullptr);
  }

 private:
  struct Match {
    size_t end = 0;
    const AddedToken* token = nullptr;
  };
  Match longest_at(std::string_view text, size_t at) const;
  /// With its white space; empty where it may not stand.
  static Range place_of(const AddedToken& token, std::string_view text, size_t begin, size_t end,
                        size_t done);

  std::vector<AddedToken> tokens_;
  std::array<uint32, 256> first_{};              // node of a first byte, 0: none
  std::unordered_map<uint64, uint32> children_;  // node and byte -> node
  std::vector<uint32> ends_ = {0};               // token that ends at a node, from 1; 0: none
};

}  // namespace fovea
