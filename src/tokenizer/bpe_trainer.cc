#include "tokenizer/bpe_trainer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <queue>
#include <unordered_map>

#include "core/error.h"
#include "tokenizer/aligned_text.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/pattern.h"
#include "tokenizer/patterns.h"

namespace fovea {
namespace {

constexpr const char* kEndOfText = "<|endoftext|>";
constexpr int32 kFirstByte = 1;  // id of the first byte, after it
constexpr int64 kBytes = 256;

struct TransparentHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using WordCounts = std::unordered_map<std::string, int64, TransparentHash, std::equal_to<>>;

WordCounts count_words(const std::vector<std::string_view>& documents, const Pattern& pattern) {
  WordCounts counts;
  Matcher matcher;
  AlignedText repaired;
  for (const std::string_view document : documents) {
    const std::string_view text = as_utf8(document, repaired).text;
    for_each_match(matcher, pattern, text, [&](size_t begin, size_t end, bool) {
      const std::string_view word = text.substr(begin, end - begin);
      if (const auto known = counts.find(word); known != counts.end())
        ++known->second;
      else if (!word.empty())
        counts.emplace(word, 1);
    });
  }
  return counts;
}

struct Pair {
  int32 left, right;
  bool operator==(const Pair&) const = default;
};
struct PairHash {
  size_t operator()(const Pair& pair) const {
    const uint64 key = uint64{static_cast<uint32>(pair.left)} << 32 | static_cast<uint32>(pair.right);
    return (key ^ key >> 29) * 0x9E3779B97F4A7C15u >> 7;
  }
};

/// The words of a corpus as tokens, and where their pairs are.
class Merging {
 public:
  explicit Merging(const WordCounts& counts);
  /// Merges until there are `vocabulary` tokens, or no pair occurs twice.
  void run(int64 vocabulary);

  std::vector<std::string> tokens;  // of each id, raw bytes
  std::vector<Pair> merges;

 private:
  struct Word {
    std::vector<int32> tokens;
    int64 count;
  };
  struct PairPlaces {
    int64 count = 0;
    std::vector<uint32> words;  // perhaps twice, or no longer
  };
  struct Candidate {
    int64 count;
    Pair pair;
    bool operator<(const Candidate& other) const {  // the heap's top is the largest
      if (count != other.count) return count < other.count;
      if (pair.left != other.pair.left) return pair.left > other.pair.left;
      return pair.right > other.pair.right;
    }
  };
  int32 token_of(Pair pair);
  void merge(Pair pair);
  void merge_word(uint32 index, Pair pair, int32 merged);
  void add(Pair pair, int64 count, uint32 word);

  std::vector<Word> words_;
  std::unordered_map<Pair, PairPlaces, PairHash> pairs_;
  std::unordered_map<std::string, int32> ids_;
  std::priority_queue<Candidate> candidates_;
  std::vector<Pair> grown_;  // pairs that the merge at hand made
};

Merging::Merging(const WordCounts& counts) {
  // Bytes by the character that stands for them, as GPT-2 and the tokenizers package number them.
  std::vector<unsigned char> bytes(kBytes);
  std::iota(bytes.begin(), bytes.end(), 0);
  std::sort(bytes.begin(), bytes.end(),
            [](unsigned char a, unsigned char b) { return character_of_byte(a) < character_of_byte(b); });
  tokens.emplace_back();  // kEndOfText, which no bytes make
  std::vector<int32> id_of_byte(kBytes);
  for (const unsigned char byte : bytes) {
    id_of_byte[byte] = static_cast<int32>(tokens.size());
    tokens.emplace_back(1, static_cast<char>(byte));
    ids_.emplace(tokens.back(), id_of_byte[byte]);
  }
  for (const auto& [text, count] : counts) {
    Word word{{}, count};
    for (const char byte : text) word.tokens.push_back(id_of_byte[static_cast<unsigned char>(byte)]);
    const auto index = static_cast<uint32>(words_.size());
    for (size_t i = 0; i + 1 < word.tokens.size(); ++i)
      add({word.tokens[i], word.tokens[i + 1]}, count, index);
    words_.push_back(std::move(word));
  }
  for (const auto& [pair, places] : pairs_) candidates_.push({places.count, pair});
}

void Merging::add(Pair pair, int64 count, uint32 word) {
  PairPlaces& places = pairs_[pair];
  places.count += count;
  if (count > 0 && (places.words.empty() || places.words.back() != word)) places.words.push_back(word);
}

int32 Merging::token_of(Pair pair) {
  const std::string text = tokens[static_cast<size_t>(pair.left)] + tokens[static_cast<size_t>(pair.right)];
  const auto [found, is_new] = ids_.emplace(text, static_cast<int32>(tokens.size()));
  if (is_new) tokens.push_back(text);
  return found->second;
}

void Merging::merge_word(uint32 index, Pair pair, int32 merged) {
  Word& word = words_[index];
  std::vector<int32>& all = word.tokens;
  size_t kept = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    const bool here = i + 1 < all.size() && all[i] == pair.left && all[i + 1] == pair.right;
    if (!here) {
      all[kept++] = all[i];
      continue;
    }
    if (kept > 0) {
      add({all[kept - 1], pair.left}, -word.count, index);
      add({all[kept - 1], merged}, word.count, index);
      grown_.push_back({all[kept - 1], merged});
    }
    if (i + 2 < all.size()) {
      add({pair.right, all[i + 2]}, -word.count, index);
      add({merged, all[i + 2]}, word.count, index);
      grown_.push_back({merged, all[i + 2]});
    }
    all[kept++] = merged;
    ++i;
  }
  all.resize(kept);
}

void Merging::merge(Pair pair) {
  const int32 merged = token_of(pair);
  merges.push_back(pair);
  std::vector<uint32> places = std::move(pairs_[pair].words);
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  grown_.clear();
  for (const uint32 word : places) merge_word(word, pair, merged);
  pairs_.erase(pair);
  std::sort(grown_.begin(), grown_.end(),
            [](Pair a, Pair b) { return a.left != b.left ? a.left < b.left : a.right < b.right; });
  grown_.erase(std::unique(grown_.begin(), grown_.end()), grown_.end());
  for (const Pair grown : grown_)
    if (const auto found = pairs_.find(grown); found != pairs_.end() && found->second.count > 0)
      candidates_.push({found->second.count, grown});
}

void Merging::run(int64 vocabulary) {
  constexpr int64 kLeast = 2;
  while (static_cast<int64>(tokens.size()) < vocabulary && !candidates_.empty()) {
    const Candidate top = candidates_.top();
    candidates_.pop();
    const auto found = pairs_.find(top.pair);
    const int64 count = found == pairs_.end() ? 0 : found->second.count;
    if (count < top.count) {  // it has become rarer since
      if (count >= kLeast) candidates_.push({count, top.pair});
      continue;
    }
    if (count > top.count) continue;  // it waits with its own count
    if (count < kLeast) break;
    merge(top.pair);
  }
}

std::string json_of(const Merging& merging, const std::string& pattern) {
  using Json = nlohmann::ordered_json;
  const auto byte_level = [](bool use_regex) {
    return Json{
        {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
  };
  Json pre_tokenizer = byte_level(true);
  if (pattern == "llama3")
    pre_tokenizer = {{"type", "Sequence"},
                     {"pretokenizers",
                      {{{"type", "Split"},
                        {"pattern", {{"Regex", kLlama3Pattern}}},
                        {"behavior", "Isolated"},
                        {"invert", false}},
                       byte_level(false)}}};
  Json vocabulary = Json::object(), merges = Json::array();
  vocabulary[kEndOfText] = 0;
  // Straight to the end: an ordered object looks through all its members before it takes one.
  auto& members = vocabulary.get_ref<Json::object_t&>();
  for (size_t id = kFirstByte; id < merging.tokens.size(); ++id)
    members.std::vector<Json::object_t::value_type>::emplace_back(spelled_bytes(merging.tokens[id]), id);
  for (const Pair pair : merging.merges)
    merges.push_back(spelled_bytes(merging.tokens[static_cast<size_t>(pair.left)]) + " " +
                     spelled_bytes(merging.tokens[static_cast<size_t>(pair.right)]));
  const Json json = {{"version", "1.0"},
                     {"truncation", nullptr},
                     {"padding", nullptr},
                     {"added_tokens",
                      {{{"id", 0},
                        {"content", kEndOfText},
                        {"single_word", false},
                        {"lstrip", false},
                        {"rstrip", false},
                        {"normalized", false},
                        {"special", true}}}},
                     {"normalizer", nullptr},
                     {"pre_tokenizer", std::move(pre_tokenizer)},
                     {"post_processor", byte_level(true)},
                     {"decoder", byte_level(true)},
                     {"model",
                      {{"type", "BPE"},
                       {"dropout", nullptr},
                       {"unk_token", nullptr},
                       {"continuing_subword_prefix", nullptr},
                       {"end_of_word_suffix", nullptr},
                       {"fuse_unk", false},
                       {"byte_fallback", false},
                       {"ignore_merges", false},
                       {"vocab", std::move(vocabulary)},
                       {"merges", std::move(merges)}}}};
  return json.dump() + "\n";
}

}  // namespace

TrainedBpe train_bpe(const std::vector<std::string_view>& documents, const BpeTraining& training) {
  constexpr int64 kLeast = kFirstByte + kBytes;
  if (training.vocabulary < kLeast)
    fail_usage("a vocabulary of {} tokens: there are {} before any merge: {} and the bytes",
               training.vocabulary, kLeast, kEndOfText);
  if (training.pattern != "gpt2" && training.pattern != "llama3")
    fail_usage("there is no pattern {}: gpt2 and llama3 are", training.pattern);
  const WordCounts counts =
      count_words(documents, Pattern::regex(training.pattern == "gpt2" ? kGpt2Pattern : kLlama3Pattern));
  Merging merging(counts);
  merging.run(training.vocabulary);
  return {json_of(merging, training.pattern), static_cast<int64>(merging.tokens.size()),
          static_cast<int64>(counts.size())};
}

}  // namespace fovea
