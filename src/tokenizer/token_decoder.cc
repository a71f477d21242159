#include "tokenizer/token_decoder.h"

#include <charconv>

#include "tokenizer/utf8.h"

namespace fovea {
namespace {

using Texts = std::vector<std::string>;

void decode_step(const Replace& replace, Texts& texts) {
  Matcher matcher;
  for (std::string& text : texts) {
    std::string out;
    for_each_match(matcher, replace.pattern, text, [&](size_t begin, size_t end, bool is_match) {
      out += is_match ? std::string_view(replace.text) : std::string_view(text).substr(begin, end - begin);
      check_growth(text.size(), out.size());
    });
    text = std::move(out);
  }
}

void decode_step(const FuseTokens&, Texts& texts) {
  std::string all;
  for (const std::string& text : texts) all += text;
  texts = {std::move(all)};
}

void decode_step(const DecodeByteTokens&, Texts& texts) {
  for (std::string& text : texts)
    if (const int byte = byte_of_token(text); byte >= 0) text.assign(1, static_cast<char>(byte));
}

void decode_step(const StripCharacter& strip, Texts& texts) {
  for (std::string& text : texts) {
    for (int64 n = 0; n < strip.start && text.starts_with(strip.character); ++n)
      text.erase(0, strip.character.size());
    for (int64 n = 0; n < strip.stop && text.ends_with(strip.character); ++n)
      text.erase(text.size() - strip.character.size());
  }
}

void decode_step(const DecodeMetaspace& metaspace, Texts& texts) {
  bool first = metaspace.drops_first;
  for (std::string& text : texts) {
    std::string out;
    for (size_t at = 0; at < text.size();) {
      if (std::string_view(text).substr(at).starts_with(metaspace.replacement)) {
        if (!first) out += ' ';
        at += metaspace.replacement.size();
      } else {
        out += text[at++];
      }
    }
    text = std::move(out);
    first = false;
  }
}

}  // namespace

int byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return -1;
  int byte = 0;
  const auto read = std::from_chars(token.data() + 3, token.data() + 5, byte, 16);
  return read.ec == std::errc() && read.ptr == token.data() + 5 && byte >= 0 ? byte : -1;
}

std::string decode_tokens(const std::vector<DecodeStep>& steps, std::vector<std::string> tokens) {
  for (const DecodeStep& step : steps) std::visit([&](const auto& how) { decode_step(how, tokens); }, step);
  decode_step(FuseTokens{}, tokens);
  return tokens.empty() ? std::string() : std::move(tokens.front());
}

}  // namespace fovea
