#pragma once

#include <fmt/format.h>

#include <array>
#include <string>

#include "core/file.h"
#include "core/json_value.h"
#include "tests/data/helpers.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer.h"

namespace fovea {

/// A byte-level tokenizer.json: the bytes in their order, then what these merges make.
inline Json byte_level_json(const std::vector<std::array<std::string, 2>>& merges = {}) {
  Json model = {{"type", "BPE"}, {"vocab", Json::object()}, {"merges", Json::array()}};
  Json& vocabulary = model["vocab"];
  for (int byte = 0; byte < 256; ++byte)
    vocabulary[spelled_bytes(std::string(1, static_cast<char>(byte)))] = byte;
  for (const auto& [left, right] : merges) {
    vocabulary.emplace(spelled_bytes(left + right), vocabulary.size());
    model["merges"].push_back({spelled_bytes(left), spelled_bytes(right)});
  }
  return {{"version", "1.0"},
          {"added_tokens", Json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
          {"post_processor", nullptr},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", std::move(model)}};
}

/// A tokenizer.json whose words are characters: these, from id 0.
inline Json character_json(const std::vector<std::string>& tokens,
                           const std::vector<std::array<std::string, 2>>& merges = {}) {
  Json model = {{"type", "BPE"}, {"vocab", Json::object()}, {"merges", Json::array()}};
  for (const std::string& token : tokens) model["vocab"].emplace(token, model["vocab"].size());
  for (const auto& merge : merges) model["merges"].push_back(merge);
  return {{"model", std::move(model)}};
}

inline Json added_token(const std::string& content, int id, const Json& flags = Json::object()) {
  Json token = {{"id", id}, {"content", content}, {"special", false}, {"normalized", false}};
  token.update(flags);
  return token;
}

/// Tokenizers from texts, in a folder of their own.
class TokenizerFiles {
 public:
  Tokenizer open(const Json& json) const { return open_tokenizer(write(json.dump(), "tokenizer.json")); }
  /// Each under a name of its own.
  std::string write(std::string_view text, const std::string& name) const {
    return folder_.write(fmt::format("{}/{}", count_++, name), text);
  }

 private:
  TemporaryFolder folder_;
  mutable int count_ = 0;
};

}  // namespace fovea
