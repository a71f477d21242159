#pragma once

#include <span>
#include <string>
#include <variant>
#include <vector>

#include "tokenizer/normalizer.h"

namespace fovea {

/// How the texts of tokens become text again: "decoder" of tokenizer.json.
struct FuseTokens {};
/// <0x0A> is the byte 10.
struct DecodeByteTokens {};
/// Takes so many of a character, if they are there, from the beginning and the end of each text.
struct StripCharacter {
  std::string character;
  int64 start = 0, stop = 0;
};
/// The character that stands for a space becomes one again; of the first token none, where one was put there.
struct DecodeMetaspace {
  std::string replacement;
  bool drops_first = true;
};
using DecodeStep = std::variant<Replace, FuseTokens, DecodeByteTokens, StripCharacter, DecodeMetaspace>;

/// The text of tokens with these texts.
std::string decode_tokens(const std::vector<DecodeStep>& steps, std::vector<std::string> tokens);

/// The byte that <0xNN> names; -1: it is no such token.
int byte_of_token(std::string_view token);

}  // namespace fovea
