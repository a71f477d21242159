// Text as tokens of a tokenizer: the same text is held out, whichever it is.
#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include <set>

#include "core/random.h"
#include "data/dataset.h"
#include "data/tokenized_text.h"
#include "tests/tokenizer/files.h"

namespace fovea {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string golden(const std::string& name) { return std::string(GOLDEN_TOKENIZERS "/") + name; }

/// Words, some of many bytes, and blank lines.
std::string some_text(uint64 seed, int64 paragraphs) {
  const RandomSequence random{seed, RandomUse::synthetic, 3};
  const std::vector<std::string> words = {"the",
                                          "God",
                                          "größer",
                                          "人人生而自由",
                                          "x",
                                          "        ",
                                          "1234567890",
                                          "👩‍👩‍👧‍👦",
                                          "unbelievable",
                                          "\xff\xfe",
                                          "line\nbreak"};
  std::string text;
  uint64 n = 0;
  for (int64 p = 0; p < paragraphs; ++p) {
    for (uint64 w = random.below(30, n++); w > 0; --w) {
      text += words[random.below(words.size(), n++)];
      text += ' ';
    }
    text += "end.\n\n";
  }
  return text;
}

class TokenizedDataset : public testing::Test {
 protected:
  DataConfig config(const std::string& tokenizer) const {
    DataConfig config;
    config.corpus = (folder_ / "text").string();
    config.cache = (folder_ / "cache").string();
    config.tokenizer = tokenizer == "bytes" ? tokenizer : golden(tokenizer);
    config.block_bytes = 512;
    config.held_out_every = 5;
    return config;
  }
  TemporaryFolder folder_;
  std::string text_ = some_text(1, 400);
  std::string path_ = folder_.write("text", text_);
};

/// The tokens and owners of one side by the words of the rule: each document encoded by itself, a token in
/// the block of its first byte.
struct Expected {
  std::vector<int32> held, train;
  std::vector<int64> held_owner, train_owner;  // documents, and stretches of text between cuts

  Expected(const Corpus& corpus, const DataConfig& config) {
    const Tokenizer tokenizer = open_tokenizer(config.tokenizer);
    const int64 size = static_cast<int64>(corpus.text.size()), whole = size / config.block_bytes;
    int64 owner = 0, last_block = -1;
    for (size_t d = 0; d < corpus.documents.size(); ++d) {
      const int64 begin = corpus.documents[d],
                  end = d + 1 < corpus.documents.size() ? corpus.documents[d + 1] : size;
      ++owner;
      const Encoding encoding = tokenizer.encode(
          std::string_view(corpus.text).substr(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
      for (size_t i = 0; i < encoding.ids.size(); ++i) {
        const int64 block = (begin + encoding.begins[i]) / config.block_bytes;
        if (block >= whole) continue;
        const bool is_held = block % config.held_out_every == 0;
        // Text was taken out between this block and the last one of its side.
        if (block != last_block && (is_held || block % config.held_out_every == 1)) ++owner;
        last_block = block;
        (is_held ? held : train).push_back(encoding.ids[i]);
        (is_held ? held_owner : train_owner).push_back(owner);
      }
    }
  }
};

TEST_F(TokenizedDataset, HoldsOutTheSameTextWhateverTheTokenizer) {
  const int64 blocks = static_cast<int64>(text_.size()) / 512;
  const int64 held_bytes = ceil_div(blocks, 5) * 512;
  for (const char* tokenizer :
       {"bytes", "gpt2.json", "llama2.json", "qwen2.json", "unigram.model", "bpe.model"}) {
    const DataConfig c = config(tokenizer);
    const Dataset data = open_dataset(c, 16);
    EXPECT_EQ(data.held_out_bytes(), held_bytes) << tokenizer;
    const Expected expected(read_corpus(c.corpus), c);
    ASSERT_EQ(data.held_out_tokens(), static_cast<int64>(expected.held.size())) << tokenizer;
    ASSERT_EQ(data.train_tokens(), static_cast<int64>(expected.train.size())) << tokenizer;
    EXPECT_EQ(data.vocabulary(), open_tokenizer(c.tokenizer).vocabulary());
    EXPECT_EQ(vocabulary_of(c), data.vocabulary());
    Batch batch;
    const int64 windows = data.evaluation_windows(16);
    data.evaluation_batch(0, windows, 16, batch);
    EXPECT_EQ(batch.tokens, std::vector<int32>(expected.held.begin(), expected.held.begin() + windows * 16))
        << tokenizer;
    data.train_batch(3, 10, 20, 16, batch);
    for (int64 row = 0; row < 20; ++row) {
      const RandomSequence order{3, RandomUse::data_order, 0};
      const auto start =
          static_cast<int64>(order.below(expected.train.size() - 16 - 1, static_cast<uint64>(10 + row)));
      EXPECT_EQ(std::vector<int32>(batch.tokens.begin() + row * 16, batch.tokens.begin() + (row + 1) * 16),
                std::vector<int32>(expected.train.begin() + start, expected.train.begin() + start + 16));
    }
  }
}

RC_GTEST_PROP(TokenizedDatasets, MaskDocumentsAsTheRuleSays, ()) {
  const TemporaryFolder folder;
  DataConfig config;
  config.corpus = folder.write("text", some_text(*rc::gen::inRange<uint64>(0, 1000), 60));
  config.cache = (folder / "cache").string();
  config.tokenizer = golden(*rc::gen::element<std::string>("gpt2.json", "llama2.json", "neox.json"));
  config.documents = true;
  config.block_bytes = *rc::gen::inRange<int64>(3, 300);
  config.held_out_every = *rc::gen::inRange<int64>(2, 6);
  const auto T = *rc::gen::inRange<int64>(1, 30);
  const Expected expected(read_corpus(config.corpus), config);
  RC_PRE(static_cast<int64>(expected.held.size()) > T && static_cast<int64>(expected.train.size()) > T + 1);
  const Dataset data = open_dataset(config, T);
  Batch batch;
  const int64 windows = data.evaluation_windows(T);
  data.evaluation_batch(0, windows, T, batch);
  std::vector<int64> bounds;
  for (int64 i = 0; i < windows * T; ++i) {
    const auto at = static_cast<size_t>(i);
    const bool first = i % T == 0 || expected.held_owner[at] != expected.held_owner[at - 1];
    if (first) bounds.push_back(i);
    RC_ASSERT(batch.positions[at] == i - bounds.back());
    const bool last = expected.held_owner[at + 1] != expected.held_owner[at];
    RC_ASSERT(batch.targets[at] == (last ? kIgnoredTarget : expected.held[at + 1]));
  }
  bounds.push_back(windows * T);
  RC_ASSERT(batch.documents == bounds);
}

// Several parts of work, and threads: the same as one document after another.
TEST(TokenizeCorpus, IsTheSameHoweverItIsSharedOut) {
  Corpus corpus{"large", {}, {}};
  for (uint64 n = 0; n < 3; ++n) {
    corpus.documents.push_back(static_cast<int64>(corpus.text.size()));
    corpus.text += some_text(n, 9000);
  }
  const Tokenizer tokenizer = open_tokenizer(golden("gpt2.json"));
  const TokenizedText all = tokenize(corpus, tokenizer, 100);
  std::vector<int32> expected;
  std::vector<int64> documents, blocks;
  const auto whole = static_cast<int64>(corpus.text.size()) / 100;
  for (size_t d = 0; d < 3; ++d) {
    const auto begin = static_cast<size_t>(corpus.documents[d]);
    const size_t end = d < 2 ? static_cast<size_t>(corpus.documents[d + 1]) : corpus.text.size();
    documents.push_back(static_cast<int64>(expected.size()));
    const Encoding encoding = tokenizer.encode(std::string_view(corpus.text).substr(begin, end - begin));
    for (size_t i = 0; i < encoding.ids.size(); ++i) {
      while (static_cast<int64>(blocks.size()) <= whole &&
             static_cast<int64>(begin) + encoding.begins[i] >= static_cast<int64>(blocks.size()) * 100)
        blocks.push_back(static_cast<int64>(expected.size()));
      expected.push_back(encoding.ids[i]);
    }
  }
  ASSERT_GT(corpus.text.size(), 3'000'000u);
  EXPECT_EQ(all.tokens, expected);
  EXPECT_EQ(all.documents, documents);
  EXPECT_EQ(all.blocks, blocks);
}

TEST_F(TokenizedDataset, TheFingerprintSeesWhatTheTokenizerDoesAndNotWhereItLies) {
  const std::string gpt2 = open_dataset(config("gpt2.json"), 8).fingerprint();
  DataConfig moved = config("gpt2.json");
  moved.tokenizer = folder_.write("elsewhere.json", read_file(golden("gpt2.json")));
  EXPECT_EQ(open_dataset(moved, 8).fingerprint(), gpt2);
  std::set<std::string> all = {gpt2};
  all.insert(open_dataset(config("bytes"), 8).fingerprint());
  all.insert(open_dataset(config("neox.json"), 8).fingerprint());
  DataConfig other = config("gpt2.json");
  other.block_bytes = 500;
  all.insert(open_dataset(other, 8).fingerprint());
  other = config("gpt2.json");
  other.documents = true;
  all.insert(open_dataset(other, 8).fingerprint());
  // Not a token is another, but the file is.
  DataConfig spaced = config("gpt2.json");
  spaced.tokenizer = folder_.write("spaced.json", read_file(golden("gpt2.json")) + "\n");
  all.insert(open_dataset(spaced, 8).fingerprint());
  EXPECT_EQ(all.size(), 6u);
}

TEST_F(TokenizedDataset, TheShardIsMadeOnceForEachTokenizerAndBlockSize) {
  const auto shards = [&] {
    int64 count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_ / "cache")) ++count;
    return count;
  };
  open_dataset(config("gpt2.json"), 8);
  open_dataset(config("gpt2.json"), 16);
  EXPECT_EQ(shards(), 1);
  open_dataset(config("llama2.json"), 8);
  EXPECT_EQ(shards(), 2);
  DataConfig other = config("gpt2.json");
  other.block_bytes = 300;
  open_dataset(other, 8);
  EXPECT_EQ(shards(), 3);
  other.held_out_every = 7;
  open_dataset(other, 8);
  EXPECT_EQ(shards(), 3);
}

TEST_F(TokenizedDataset, WrongTokenizersAreOneLine) {
  DataConfig c = config("bytes");
  c.tokenizer = (folder_ / "absent.json").string();
  EXPECT_THAT(error_of([&] { open_dataset(c, 8); }), HasSubstr("absent.json"));
  c.tokenizer = folder_.write("broken.json", "{");
  EXPECT_THAT(error_of([&] { open_dataset(c, 8); }), HasSubstr("broken.json"));
  EXPECT_THAT(error_of([&] { vocabulary_of(c); }), HasSubstr("broken.json"));
  c = config("gpt2.json");
  c.vocab = 100;
  EXPECT_THAT(error_of([&] { open_dataset(c, 8); }, ExitCode::usage), HasSubstr("data.vocab = 100"));
  // Characters that are no tokens, and nothing stands for those.
  c = config("gpt2.json");
  c.tokenizer = folder_.write("few.json", character_json({"Q"}).dump());
  EXPECT_THAT(error_of([&] { open_dataset(c, 8); }), AllOf(HasSubstr("few.json"), HasSubstr("no token")));
}

TEST_F(TokenizedDataset, DescribesItsTokenizer) {
  EXPECT_THAT(describe(open_dataset(config("gpt2.json"), 8)),
              AllOf(HasSubstr("gpt2.json, vocabulary of 700"), HasSubstr("every 5th block of 512 bytes")));
  EXPECT_EQ(describe_vocabulary(config("bytes")), "256, bytes");
  EXPECT_THAT(describe_vocabulary(config("llama2.json")), HasSubstr("700, "));
}

}  // namespace
}  // namespace fovea
