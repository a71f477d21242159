#include "tokenizer/tokenizer.h"

#include <filesystem>
#include <map>
#include <mutex>
#include <numeric>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "tokenizer/json_tokenizer.h"
#include "tokenizer/sentencepiece_model.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

void encode_bytes(std::string_view text, Encoding& out) {
  out.ids.resize(text.size());
  out.begins.resize(text.size());
  for (size_t i = 0; i < text.size(); ++i) out.ids[i] = static_cast<unsigned char>(text[i]);
  std::iota(out.begins.begin(), out.begins.end(), int64{0});
}

/// A file that was opened, as it was then.
struct Opened {
  fs::file_time_type written;
  std::uintmax_t size = 0;
  Tokenizer tokenizer;
};

}  // namespace

struct TextEncoder::Scratch : JsonTokenizerScratch {};

TextEncoder::TextEncoder(Tokenizer tokenizer)
    : tokenizer_(std::move(tokenizer)), scratch_(tokenizer_.json_ ? std::make_unique<Scratch>() : nullptr) {}
TextEncoder::~TextEncoder() = default;
TextEncoder::TextEncoder(TextEncoder&& other) noexcept = default;

void TextEncoder::encode(std::string_view text, Encoding& out) {
  constexpr size_t kMost = (size_t{1} << 32) - 1;
  out.ids.clear();
  out.begins.clear();
  if (tokenizer_.is_bytes()) return encode_bytes(text, out);
  if (text.size() > kMost)
    fail_input("a text of {} bytes is too long for the tokenizer {}: cut it into documents of at most {}",
               text.size(), tokenizer_.name(), kMost);
  if (tokenizer_.json_)
    fovea::encode(*tokenizer_.json_, text, *scratch_, out);
  else
    tokenizer_.sentencepiece_->encode(text, out);
}

Encoding Tokenizer::encode(std::string_view text) const {
  Encoding encoding;
  TextEncoder(*this).encode(text, encoding);
  return encoding;
}

Encoding Tokenizer::encode_with_special(std::string_view text) const {
  const Encoding inner = encode(text);
  Encoding all;
  const auto append = [&](const std::vector<int32>& ids, int64 begin) {
    all.ids.insert(all.ids.end(), ids.begin(), ids.end());
    all.begins.insert(all.begins.end(), ids.size(), begin);
  };
  append(before_, 0);
  all.ids.insert(all.ids.end(), inner.ids.begin(), inner.ids.end());
  all.begins.insert(all.begins.end(), inner.begins.begin(), inner.begins.end());
  append(after_, static_cast<int64>(text.size()));
  return all;
}

std::string Tokenizer::decode(std::span<const int32> ids) const {
  for (const int32 id : ids)
    if (id < 0 || id >= vocabulary_)
      fail_input("token {} is not in the vocabulary of {} of the tokenizer {}", id, vocabulary_, name_);
  if (json_) return fovea::decode(*json_, ids);
  if (sentencepiece_) return sentencepiece_->decode(ids);
  return {ids.begin(), ids.end()};
}

Tokenizer read_tokenizer(std::span<const std::byte> file, const std::string& name) {
  const std::string_view bytes(reinterpret_cast<const char*>(file.data()), file.size());
  Tokenizer tokenizer;
  tokenizer.name_ = name;
  if (fs::path(name).extension() == ".model") {
    const auto model = std::make_shared<const SentencePieceModel>(bytes, name);
    tokenizer.vocabulary_ = model->vocabulary();
    if (model->bos() >= 0) tokenizer.before_ = {model->bos()};
    if (model->bos() >= 0) tokenizer.bos_ = model->bos();
    if (model->eos() >= 0) tokenizer.eos_ = model->eos();
    tokenizer.sentencepiece_ = model;
  } else {
    const auto json = std::make_shared<const JsonTokenizer>(read_json_tokenizer(bytes, name));
    tokenizer.vocabulary_ = static_cast<int64>(json->texts.size());
    tokenizer.before_ = json->before;
    tokenizer.after_ = json->after;
    if (!json->before.empty()) tokenizer.bos_ = json->before.front();
    if (!json->after.empty()) tokenizer.eos_ = json->after.back();
    tokenizer.json_ = json;
  }
  tokenizer.content_ = hash128(file);  // last: of what is not too long
  return tokenizer;
}

Tokenizer open_tokenizer(const std::string& name) {
  if (name == "bytes") return {};
  static std::mutex one_at_a_time;
  static std::map<std::string, Opened> opened;
  const std::lock_guard lock(one_at_a_time);

  std::error_code error;
  if (!fs::is_regular_file(name, error))
    fail_input("{}: there is no such tokenizer; say bytes, or the path of a tokenizer.json or .model", name);
  const auto written = fs::last_write_time(name, error);
  const auto size = fs::file_size(name, error);
  if (const auto known = opened.find(name);
      known != opened.end() && !error && known->second.written == written && known->second.size == size)
    return known->second.tokenizer;

  const MappedFile file(name);
  Tokenizer tokenizer = read_tokenizer(file.bytes(), name);
  opened[name] = {written, size, tokenizer};
  return tokenizer;
}

}  // namespace fovea
