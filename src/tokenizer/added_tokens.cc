#include "tokenizer/added_tokens.h"

#include "tokenizer/utf8.h"

namespace fovea {
namespace {

uint64 edge(uint32 node, char byte) { return uint64{node} << 8 | static_cast<unsigned char>(byte); }

}  // namespace

void AddedTokenFinder::add(const AddedToken& token, std::string_view text) {
  tokens_.push_back(token);
  const auto new_node = [&] {
    ends_.push_back(0);
    return static_cast<uint32>(ends_.size() - 1);
  };
  uint32& first = first_[static_cast<unsigned char>(text[0])];
  if (first == 0) first = new_node();
  uint32 node = first;
  for (const char byte : text.substr(1)) {
    uint32& child = children_[edge(node, byte)];
    if (child == 0) child = new_node();
    node = child;
  }
  ends_[node] = static_cast<uint32>(tokens_.size());
}

AddedTokenFinder::Match AddedTokenFinder::longest_at(std::string_view text, size_t at) const {
  Match match;
  uint32 node = first_[static_cast<unsigned char>(text[at])];
  while (node != 0) {
    ++at;
    if (ends_[node] != 0) match = {at, &tokens_[ends_[node] - 1]};
    if (at == text.size()) break;
    const auto child = children_.find(edge(node, text[at]));
    node = child == children_.end() ? 0 : child->second;
  }
  return match;
}

Range AddedTokenFinder::place_of(const AddedToken& token, std::string_view text, size_t begin, size_t end,
                                 size_t done) {
  if (token.single_word) {
    const bool goes_on_before = begin > 0 && is_word_part(code_point_before(text, begin).value);
    const bool goes_on_after = end < text.size() && is_word_part(code_point_at(text, end).value);
    if (goes_on_before || goes_on_after) return {};
  }
  if (token.lstrip)
    while (begin > done) {
      const CodePoint c = code_point_before(text, begin);
      if (!is_white_space(c.value)) break;
      begin -= c.bytes;
    }
  if (token.rstrip)
    while (end < text.size()) {
      const CodePoint c = code_point_at(text, end);
      if (!is_white_space(c.value)) break;
      end += c.bytes;
    }
  return {static_cast<int64>(begin), static_cast<int64>(end)};
}

}  // namespace fovea
