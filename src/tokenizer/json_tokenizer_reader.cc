#include <algorithm>
#include <stdexcept>
#include <unordered_map>
#include <unordered_set>

#include "core/json_value.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/json_tokenizer.h"
#include "tokenizer/patterns.h"
#include "tokenizer/utf8.h"

namespace fovea {
namespace {

constexpr int64 kMaxId = (int64{1} << 24) - 1;
constexpr size_t kLongestAddedToken = 1000, kMostAddedBytes = 10'000'000;

std::string type_of(const JsonValue& value) { return value.at("type").string(); }

/// {"String": ...} or {"Regex": ...}.
Pattern read_pattern(const JsonValue& value) {
  const auto literal = value.find("String"), regex = value.find("Regex");
  if (!literal == !regex) value.fail("must have a String or a Regex");
  const JsonValue& text = literal ? *literal : *regex;
  try {
    return literal ? Pattern::literal(text.string()) : Pattern::regex(text.string());
  } catch (const std::invalid_argument& error) {
    text.fail("the pattern {}: {}", printable_json(text.json()), error.what());
  }
}

/// Calls read(part) for the parts of a Sequence, or for the one that it is instead.
template <class Read>
void for_each_part(const JsonValue& value, const char* parts, Read read) {
  constexpr size_t kMost = 50;  // each may go over all of a text
  if (type_of(value) != "Sequence") return read(value);
  const JsonValue list = value.at(parts);
  if (list.array_size() > kMost) list.fail("has {} parts, more than {}", list.array_size(), kMost);
  for (size_t i = 0; i < list.array_size(); ++i) {
    const JsonValue part = list.item(i);
    if (type_of(part) == "Sequence") part.fail("is a Sequence within a Sequence");
    read(part);
  }
}

/// A text that is put in the place of others, or before them.
std::string read_content(const JsonValue& value) {
  constexpr size_t kLongest = 1000;
  std::string text = value.string();
  if (text.size() > kLongest) value.fail("is {} bytes long, more than {}", text.size(), kLongest);
  return text;
}

std::string one_character(const JsonValue& value) {
  std::string text = value.string();
  if (text.empty() || code_point_at(text, 0).bytes != text.size()) value.fail("must be one character");
  return text;
}

class Reader {
 public:
  Reader(const Json& json, const std::string& file) : root_(json, file) {}
  JsonTokenizer read();

 private:
  struct TokenText {
    std::string text;
    bool known = false;
  };

  void read_normalizers();
  void read_pre_tokenizers();
  void read_pre_tokenizer(const JsonValue& value);
  void read_byte_level(const JsonValue& value);
  void read_model();
  void read_vocabulary(const JsonValue& value);
  void read_merges(const JsonValue& value, BpeParts& parts);
  int32 id_of(const JsonValue& at, const std::string& token) const;
  void check_reachable(const JsonValue& merges, const BpeParts& parts) const;
  void read_added_tokens();
  AddedToken read_added_token(const JsonValue& value) const;
  void read_post_processor();
  void read_template(const JsonValue& value);
  int32 known_id(const JsonValue& value) const;
  void read_decoder();
  void set_text(int32 id, std::string text);

  JsonValue root_;
  JsonTokenizer out_;
  bool byte_level_ = false;
  std::unordered_map<std::string, int32> vocabulary_;  // of the model, as the file spells it
  std::vector<bool> taken_;                            // ids
  std::unordered_set<std::string> added_;
  int64 next_id_ = 0;  // of an added token that is not in the vocabulary
};

void Reader::read_normalizers() {
  const auto normalizer = root_.find("normalizer");
  if (!normalizer) return;
  for_each_part(*normalizer, "normalizers", [&](const JsonValue& part) {
    const std::string type = type_of(part);
    if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
      out_.normalizers.push_back(NormalForm{type.back() == 'C', type.size() == 4});
    } else if (type == "Prepend") {
      out_.normalizers.push_back(Prepend{read_content(part.at("prepend"))});
    } else if (type == "Replace") {
      out_.normalizers.push_back(Replace{read_pattern(part.at("pattern")), read_content(part.at("content"))});
    } else {
      part.fail("the normalizer {} is not supported: NFC, NFD, NFKC, NFKD, Prepend, Replace and Sequence are",
                printable_json(part.json()["type"]));
    }
  });
}

SplitBehavior read_behavior(const JsonValue& value) {
  const std::string name = value.string();
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  value.fail("there is no behavior {}", printable_json(value.json()));
}

Metaspace::Prefix read_prefix(const JsonValue& value) {
  const std::string scheme = value.string_of("prepend_scheme", "always");
  const auto old = value.find("add_prefix_space");  // before there were schemes
  if (scheme == "never" || (old && !old->boolean())) return Metaspace::Prefix::never;
  if (scheme == "first") return Metaspace::Prefix::first;
  if (scheme != "always")
    value.fail("there is no prepend_scheme {}", printable_json(value.json()["prepend_scheme"]));
  return Metaspace::Prefix::always;
}

void Reader::read_byte_level(const JsonValue& value) {
  if (value.boolean_of("add_prefix_space", true)) out_.pre_tokenizers.push_back(PrefixSpace{});
  if (value.boolean_of("use_regex", true))
    out_.pre_tokenizers.push_back(SplitByPattern{Pattern::regex(kGpt2Pattern)});
  byte_level_ = true;
}

void Reader::read_pre_tokenizer(const JsonValue& value) {
  if (byte_level_) value.fail("stands after ByteLevel, which must be the last pre-tokenizer");
  const std::string type = type_of(value);
  if (type == "ByteLevel") {
    read_byte_level(value);
  } else if (type == "Split") {
    out_.pre_tokenizers.push_back(SplitByPattern{read_pattern(value.at("pattern")),
                                                 read_behavior(value.at("behavior")),
                                                 value.boolean_of("invert", false)});
  } else if (type == "Digits") {
    out_.pre_tokenizers.push_back(SplitDigits{value.boolean_of("individual_digits", false)});
  } else if (type == "Metaspace") {
    out_.pre_tokenizers.push_back(Metaspace{one_character(value.at("replacement")), read_prefix(value),
                                            value.boolean_of("split", true)});
  } else {
    value.fail("the pre-tokenizer {} is not supported: ByteLevel, Split, Digits, Metaspace and Sequence are",
               printable_json(value.json()["type"]));
  }
}

void Reader::read_pre_tokenizers() {
  const auto value = root_.find("pre_tokenizer");
  if (value) for_each_part(*value, "pretokenizers", [&](const JsonValue& part) { read_pre_tokenizer(part); });
}

void Reader::set_text(int32 id, std::string text) {
  const auto at = static_cast<size_t>(id);
  if (at >= out_.texts.size()) {
    out_.texts.resize(at + 1);
    taken_.resize(at + 1);
  }
  out_.texts[at] = std::move(text);
  taken_[at] = true;
}

void Reader::read_vocabulary(const JsonValue& value) {
  if (!value.json().is_object()) value.fail("must be an object of tokens and their ids");
  if (value.json().empty()) value.fail("is empty");
  // Gaps are none of our business, but a table of 16 million rows for two tokens is.
  const int64 most = std::min<int64>(kMaxId, 16 * static_cast<int64>(value.json().size()) + 100'000);
  for (const auto& [token, id] : value.json().items()) {
    const bool fits = id.is_number_unsigned() && id.get<uint64>() <= static_cast<uint64>(most);
    if (!fits)
      value.fail("the id of {} is {}: not an integer from 0 to {}", printable_json(token), printable_json(id),
                 most);
    const auto number = id.get<int32>();
    if (static_cast<size_t>(number) < taken_.size() && taken_[static_cast<size_t>(number)])
      value.fail("the id {} of {} is another token's", number, printable_json(token));
    vocabulary_.emplace(token, number);
    set_text(number, byte_level_ ? bytes_of_spelling(token).value_or(token) : token);
  }
}

int32 Reader::id_of(const JsonValue& at, const std::string& token) const {
  const auto found = vocabulary_.find(token);
  if (found == vocabulary_.end()) at.fail("{} is not in model.vocab", printable_json(token));
  return found->second;
}

void Reader::read_merges(const JsonValue& value, BpeParts& parts) {
  const size_t n = value.array_size();
  parts.merges.reserve(n);
  for (size_t i = 0; i < n; ++i) {
    const Json& merge = value.json()[i];
    std::string left, right;
    if (merge.is_string()) {
      const auto& text = merge.get_ref<const std::string&>();
      if (text.starts_with("#version")) continue;
      const size_t space = text.find(' ');
      if (space == text.npos || text.find(' ', space + 1) != text.npos)
        value.item(i).fail("{} is not two tokens with a space between them", printable_json(merge));
      left = text.substr(0, space);
      right = text.substr(space + 1);
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      left = merge[0].get<std::string>();
      right = merge[1].get<std::string>();
    } else {
      value.item(i).fail("must be two tokens, it is {}", printable_json(merge));
    }
    const auto id = [&](const std::string& token) {
      const auto found = vocabulary_.find(token);
      if (found == vocabulary_.end()) value.item(i).fail("{} is not in model.vocab", printable_json(token));
      return found->second;
    };
    parts.merges.push_back({id(left), id(right), id(left + right)});
  }
}

/// Without merges, or ids of whole words, only single characters can come out.
void Reader::check_reachable(const JsonValue& merges, const BpeParts& parts) const {
  if (!parts.merges.empty() || parts.ignore_merges) return;
  for (const BpeParts::Token& token : parts.tokens) {
    const size_t first = token.text.empty() || parts.bytes ? 1 : code_point_at(token.text, 0).bytes;
    if (token.text.size() > first && token.id != parts.unknown && byte_of_token(token.text) < 0 &&
        !added_.contains(token.text))
      merges.fail("is empty, and nothing else makes the token {}", printable_json(token.text));
  }
}

void Reader::read_model() {
  const JsonValue model = root_.at("model");
  if (!model.json().is_object()) model.fail("must be an object");
  if (const auto type = model.find("type"); type ? type->string() != "BPE" : !model.find("merges"))
    model.fail("the kind {} is not supported: BPE is",
               type ? printable_json(type->json()) : "without merges");
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!model.string_of(affix, "").empty()) model.fail("{} is not supported", affix);
  if (const auto dropout = model.find("dropout"); dropout && dropout->json() != 0)
    model.fail("dropout is not supported: the same text must give the same tokens");

  read_vocabulary(model.at("vocab"));
  BpeParts parts;
  parts.bytes = byte_level_;
  parts.ignore_merges = model.boolean_of("ignore_merges", false);
  parts.fuse_unknown = model.boolean_of("fuse_unk", false);
  parts.byte_fallback = model.boolean_of("byte_fallback", false);
  parts.byte_tokens.fill(-1);
  if (const auto unknown = model.find("unk_token")) parts.unknown = id_of(*unknown, unknown->string());
  for (const auto& [token, id] : vocabulary_) {
    if (const int byte = byte_of_token(token); byte >= 0 && token == fmt::format("<0x{:02X}>", byte))
      parts.byte_tokens[static_cast<size_t>(byte)] = id;
    if (!byte_level_)
      parts.tokens.push_back({token, id});
    else if (auto bytes = bytes_of_spelling(token))
      parts.tokens.push_back({*std::move(bytes), id});
  }
  const JsonValue merges = model.at("merges");
  read_merges(merges, parts);
  read_added_tokens();
  check_reachable(merges, parts);
  out_.model = std::make_shared<const Bpe>(std::move(parts));
}

AddedToken Reader::read_added_token(const JsonValue& value) const {
  AddedToken token;
  token.content = value.at("content").string();
  if (token.content.empty()) value.fail("content is empty");
  if (token.content.size() > kLongestAddedToken)
    value.fail("content is {} bytes long, more than {}", token.content.size(), kLongestAddedToken);
  token.id = static_cast<int32>(value.at("id").integer(0, kMaxId));
  token.special = value.boolean_of("special", false);
  token.normalized = value.boolean_of("normalized", !token.special);
  token.single_word = value.boolean_of("single_word", false);
  token.lstrip = value.boolean_of("lstrip", false);
  token.rstrip = value.boolean_of("rstrip", false);
  return token;
}

void Reader::read_added_tokens() {
  next_id_ = static_cast<int64>(vocabulary_.size());
  const auto list = root_.find("added_tokens");
  if (!list) return;
  Normalization normalization;
  Matcher matcher;
  size_t bytes = 0;
  for (size_t i = 0; i < list->array_size(); ++i) {
    const JsonValue value = list->item(i);
    const AddedToken token = read_added_token(value);
    if (bytes += token.content.size(); bytes > kMostAddedBytes)
      list->fail("have more than {} bytes of text", kMostAddedBytes);
    if (!added_.insert(token.content).second) value.fail("{} is there twice", printable_json(token.content));
    // Where the vocabulary lacks it, the reference numbers it itself, on from the vocabulary's size.
    const auto found = vocabulary_.find(token.content);
    const int64 id = found == vocabulary_.end() ? next_id_++ : found->second;
    if (token.id != id)
      value.fail("the id of {} is {}, and by the vocabulary it is {}", printable_json(token.content),
                 token.id, id);
    if (found == vocabulary_.end() && static_cast<size_t>(id) < taken_.size() &&
        taken_[static_cast<size_t>(id)])
      value.fail("the id {} of {} is another token's", id, printable_json(token.content));
    set_text(token.id, token.content);
    if (token.special) out_.special.push_back(token.id);
    AddedTokenFinder& finder = token.normalized ? out_.added_normalized : out_.added;
    const std::string_view text = token.normalized
                                      ? normalization.apply(out_.normalizers, {token.content}, matcher).text
                                      : token.content;
    if (!text.empty()) finder.add(token, text);
  }
}

int32 Reader::known_id(const JsonValue& value) const {
  const int64 id = value.integer(0, kMaxId);
  if (id >= static_cast<int64>(taken_.size()) || !taken_[static_cast<size_t>(id)])
    value.fail("there is no token {}", id);
  return static_cast<int32>(id);
}

void Reader::read_template(const JsonValue& value) {
  const JsonValue single = value.at("single");
  bool text_seen = false;
  for (size_t i = 0; i < single.array_size(); ++i) {
    const JsonValue piece = single.item(i);
    if (piece.find("Sequence")) {
      if (text_seen) piece.fail("stands for the text a second time");
      text_seen = true;
      continue;
    }
    const std::string name = piece.at("SpecialToken").at("id").string();
    const JsonValue ids = value.at("special_tokens").at(name).at("ids");
    for (size_t n = 0; n < ids.array_size(); ++n)
      (text_seen ? out_.after : out_.before).push_back(known_id(ids.item(n)));
  }
}

void Reader::read_post_processor() {
  const auto value = root_.find("post_processor");
  if (!value) return;
  for_each_part(*value, "processors", [&](const JsonValue& part) {
    const std::string type = type_of(part);
    if (type == "TemplateProcessing") {
      read_template(part);
    } else if (type == "RobertaProcessing" || type == "BertProcessing") {
      out_.before.push_back(known_id(part.at("cls").item(1)));
      out_.after.push_back(known_id(part.at("sep").item(1)));
    } else if (type != "ByteLevel") {  // which says what offsets look like
      part.fail(
          "the post-processor {} is not supported: ByteLevel, TemplateProcessing, RobertaProcessing and "
          "BertProcessing are",
          printable_json(part.json()["type"]));
    }
  });
}

void Reader::read_decoder() {
  const auto value = root_.find("decoder");
  out_.spaced = !value && !byte_level_;
  if (!value) return;
  for_each_part(*value, "decoders", [&](const JsonValue& part) {
    const std::string type = type_of(part);
    if (type == "ByteLevel") {
      if (!byte_level_) part.fail("ByteLevel decodes what no pre-tokenizer ByteLevel has encoded");
    } else if (type == "Replace") {
      out_.decoder.push_back(Replace{read_pattern(part.at("pattern")), read_content(part.at("content"))});
    } else if (type == "Fuse") {
      out_.decoder.push_back(FuseTokens{});
    } else if (type == "ByteFallback") {
      out_.decoder.push_back(DecodeByteTokens{});
    } else if (type == "Strip") {
      out_.decoder.push_back(StripCharacter{one_character(part.at("content")),
                                            part.at("start").integer(0, kMaxId),
                                            part.at("stop").integer(0, kMaxId)});
    } else if (type == "Metaspace") {
      out_.decoder.push_back(DecodeMetaspace{one_character(part.at("replacement")),
                                             read_prefix(part) != Metaspace::Prefix::never});
    } else {
      part.fail(
          "the decoder {} is not supported: ByteLevel, Replace, Fuse, ByteFallback, Strip, Metaspace and "
          "Sequence are",
          printable_json(part.json()["type"]));
    }
  });
}

JsonTokenizer Reader::read() {
  if (const std::string version = root_.string_of("version", "1.0"); version != "1.0")
    root_.fail("is a tokenizer of version {}, 1.0 is read", printable_json(Json(version)));
  read_normalizers();
  read_pre_tokenizers();
  read_model();
  read_post_processor();
  read_decoder();
  return std::move(out_);
}

}  // namespace

JsonTokenizer read_json_tokenizer(std::string_view text, const std::string& file) {
  const Json json = parse_json(text, file);
  return Reader(json, file).read();
}

}  // namespace fovea
