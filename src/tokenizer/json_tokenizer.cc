#include "tokenizer/json_tokenizer.h"

#include <algorithm>

namespace fovea {

void encode(const JsonTokenizer& tokenizer, std::string_view text, JsonTokenizerScratch& scratch,
            Encoding& out) {
  const size_t first = out.begins.size();
  const auto add = [&](const AddedToken& token, const AlignedView& view, size_t begin) {
    out.ids.push_back(token.id);
    out.begins.push_back(view.origin(begin));
  };
  const auto encode_words = [&](const AlignedView& view) {
    pre_tokenize(tokenizer.pre_tokenizers, view, scratch.matcher,
                 [&](const AlignedView& word) { tokenizer.model->encode(word, scratch.bpe, out); });
  };
  const auto encode_stretch = [&](const AlignedView& view) {
    const AlignedView normal = scratch.normalization.apply(tokenizer.normalizers, view, scratch.matcher);
    if (tokenizer.added_normalized.empty()) return encode_words(normal);
    tokenizer.added_normalized.split(normal.text, [&](size_t begin, size_t end, const AddedToken* token) {
      if (token)
        add(*token, normal, begin);
      else
        encode_words(normal.part(begin, end - begin));
    });
  };
  const AlignedView whole = as_utf8(text, scratch.repaired);
  tokenizer.added.split(whole.text, [&](size_t begin, size_t end, const AddedToken* token) {
    if (token)
      add(*token, whole, begin);
    else
      encode_stretch(whole.part(begin, end - begin));
  });
  // What stands before the first token, or was left out, belongs to the token before it.
  if (first < out.begins.size()) out.begins[first] = 0;
  for (size_t i = first + 1; i < out.begins.size(); ++i)
    out.begins[i] = std::max(out.begins[i], out.begins[i - 1]);
}

std::string decode(const JsonTokenizer& tokenizer, std::span<const int32> ids) {
  std::vector<std::string> texts;
  texts.reserve(ids.size());
  for (const int32 id : ids) texts.push_back(tokenizer.texts[static_cast<size_t>(id)]);
  if (tokenizer.spaced)
    for (size_t i = 1; i < texts.size(); ++i) texts[i].insert(0, 1, ' ');
  return decode_tokens(tokenizer.decoder, std::move(texts));
}

}  // namespace fovea
