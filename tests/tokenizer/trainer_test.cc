#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "tests/tokenizer/files.h"
#include "tokenizer/bpe_trainer.h"

namespace fovea {
namespace {

using testing::HasSubstr;
using Symbols = std::vector<int64>;
using PairOfIds = std::pair<int64, int64>;

Tokenizer opened(const TokenizerFiles& files, const TrainedBpe& trained) {
  return open_tokenizer(files.write(trained.json, "tokenizer.json"));
}

/// The rule in words: count all pairs anew, take the most frequent, the lowest ids among equals.
std::vector<std::string> merges_by_the_rule(std::map<std::string, int64> counts, int64 merges) {
  std::vector<std::string> texts;
  std::map<std::string, int64> ids;
  const auto id_of = [&](const std::string& text) {
    const auto [at, is_new] = ids.emplace(text, static_cast<int64>(texts.size()));
    if (is_new) texts.push_back(text);
    return at->second;
  };
  // In the order of the characters that stand for bytes: of letters, their own; the space's comes later.
  for (char c = 'a'; c <= 'z'; ++c) id_of(std::string(1, c));
  id_of(" ");
  std::vector<std::pair<Symbols, int64>> words;
  for (const auto& [word, count] : counts) {
    Symbols symbols;
    for (const char c : word) symbols.push_back(id_of(std::string(1, c)));
    words.emplace_back(symbols, count);
  }
  std::vector<std::string> result;
  while (static_cast<int64>(result.size()) < merges) {
    std::map<PairOfIds, int64> pairs;
    for (const auto& [symbols, count] : words)
      for (size_t i = 0; i + 1 < symbols.size(); ++i) pairs[{symbols[i], symbols[i + 1]}] += count;
    PairOfIds best;
    int64 most = 1;
    for (const auto& [pair, count] : pairs)
      if (count > most) {
        most = count;
        best = pair;
      }
    if (most == 1) break;
    const std::string left = texts[static_cast<size_t>(best.first)],
                      right = texts[static_cast<size_t>(best.second)];
    const int64 merged = id_of(left + right);
    result.push_back(spelled_bytes(left) + " " + spelled_bytes(right));
    for (auto& [symbols, count] : words)
      for (size_t i = 0; i + 1 < symbols.size(); ++i)
        if (symbols[i] == best.first && symbols[i + 1] == best.second) {
          symbols[i] = merged;
          symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        }
  }
  return result;
}

RC_GTEST_PROP(TrainBpe, MergesTheMostFrequentPairAgainAndAgain, ()) {
  std::map<std::string, int64> counts;
  std::string text;
  for (const auto& word : *rc::gen::container<std::vector<std::string>>(
           rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::element('a', 'b', 'c', 'z'))))) {
    ++counts[text.empty() ? word : " " + word];
    text += (text.empty() ? "" : " ") + word;
  }
  const TrainedBpe trained = train_bpe({text}, {"gpt2", 257 + 30});
  const auto merges = Json::parse(trained.json)["model"]["merges"].get<std::vector<std::string>>();
  // Two ways to one text are two merges and one token.
  RC_ASSERT(merges.size() >= static_cast<size_t>(trained.tokens - 257));
  RC_ASSERT(merges == merges_by_the_rule(counts, static_cast<int64>(merges.size())));
  if (trained.tokens < 257 + 30) RC_ASSERT(merges == merges_by_the_rule(counts, 1000));
}

// tokenizers' trainer on the golden text (tests/golden/tokenizers/make.py).
TEST(TrainBpe, MergesAsTheTokenizersPackageDoes) {
  const std::string folder = GOLDEN_TOKENIZERS "/";
  for (const char* pattern : {"gpt2", "llama3"}) {
    const TrainedBpe trained = train_bpe({read_file(folder + "text.bin")}, {pattern, 700});
    const Json model = Json::parse(trained.json)["model"];
    std::string merges;
    for (const Json& merge : model["merges"]) merges += merge.get<std::string>() + "\n";
    EXPECT_EQ(merges, read_file(folder + "trained_" + pattern + ".merges"));
  }
}

TEST(TrainBpe, WritesAFileThatEncodes) {
  const TokenizerFiles files;
  const std::string text = "the light was good and the light was the light\n\nit was so";
  for (const char* pattern : {"gpt2", "llama3"}) {
    const Tokenizer tokenizer = opened(files, train_bpe({text, text}, {pattern, 300}));
    const Encoding encoding = tokenizer.encode(text + "<|endoftext|>");
    EXPECT_EQ(encoding.ids.back(), 0);
    EXPECT_LT(encoding.ids.size(), text.size() / 2);
    EXPECT_EQ(tokenizer.decode(encoding.ids), text + "<|endoftext|>");
  }
}

TEST(TrainBpe, StopsWhereNoPairOccursTwice) {
  const TrainedBpe trained = train_bpe({"ab ab cd"}, {"gpt2", 1000});
  EXPECT_EQ(trained.tokens, 257 + 1);  // ab; " ab" and "cd" are there once
  EXPECT_EQ(trained.words, 3);
  EXPECT_EQ(train_bpe({}, {"gpt2", 1000}).tokens, 257);
}

TEST(TrainBpe, RefusesWhatItCannotMake) {
  EXPECT_THAT(error_of([] { train_bpe({"a"}, {"gpt2", 256}); }, ExitCode::usage), HasSubstr("257"));
  EXPECT_THAT(error_of([] { train_bpe({"a"}, {"gpt5", 300}); }, ExitCode::usage), HasSubstr("gpt5"));
}

}  // namespace
}  // namespace fovea
