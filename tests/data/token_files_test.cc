#include "data/token_files.h"

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <set>

#include "data/corpus.h"
#include "data/dataset.h"
#include "tests/data/helpers.h"

namespace fovea {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Tokens = std::vector<int32>;

template <class T>
std::string packed(const Tokens& tokens) {
  std::string bytes;
  for (const int32 token : tokens) {
    const T value = static_cast<T>(token);
    bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  return bytes;
}

/// As llm.c's data_common.py writes it.
std::string header(int32 magic, int32 version, int64 count) {
  Tokens ints(256, 0);
  ints[0] = magic;
  ints[1] = version;
  ints[2] = static_cast<int32>(count);
  return packed<int32>(ints);
}
std::string gpt2_file(const Tokens& tokens) {
  return header(20240520, 1, static_cast<int64>(tokens.size())) + packed<uint16>(tokens);
}
std::string llama3_file(const Tokens& tokens) {
  return header(20240801, 7, static_cast<int64>(tokens.size())) + packed<uint32>(tokens);
}

Tokens all_of(const TokenFiles& files) {
  Tokens tokens(static_cast<size_t>(files.tokens()));
  files.read(0, files.tokens(), tokens.data());
  return tokens;
}

TEST(TokenFiles, TheThreeLayoutsHoldTheSameTokens) {
  const TemporaryFolder folder;
  const Tokens tokens{5, 50256, 0, 65535, 5};
  for (const auto& [name, bytes] : {std::pair("raw.bin", packed<uint16>(tokens)),
                                    {"gpt2.bin", gpt2_file(tokens)},
                                    {"llama3.bin", llama3_file(tokens)}}) {
    const TokenFiles files({folder.write(name, bytes)}, 0);
    EXPECT_EQ(all_of(files), tokens) << name;
    EXPECT_EQ(files.vocabulary(), 65536) << name;
    EXPECT_EQ(files.token_bytes(), std::string(name) == "llama3.bin" ? 4 : 2);
  }
  const Tokens wide{128255, 0};
  const TokenFiles files({folder.write("wide.bin", llama3_file(wide))}, 128256);
  EXPECT_EQ(all_of(files), wide);
  EXPECT_EQ(files.vocabulary(), 128256);
}

RC_GTEST_PROP(TokenFiles, AreLaidEndToEndHoweverTheyAreCut, ()) {
  const TemporaryFolder folder;
  const Tokens tokens = *rc::gen::nonEmpty(rc::gen::container<Tokens>(rc::gen::inRange(0, 50257)));
  const auto n = static_cast<int64>(tokens.size());
  std::vector<std::string> paths;
  for (int64 begin = 0; begin < n;) {
    const int64 count = *rc::gen::inRange<int64>(1, n - begin + 1);
    const Tokens part(tokens.begin() + begin, tokens.begin() + begin + count);
    const bool headed = *rc::gen::arbitrary<bool>();
    const std::string name = "part" + std::to_string(paths.size()) + ".bin";
    paths.push_back(folder.write(name, headed ? gpt2_file(part) : packed<uint16>(part)));
    begin += count;
  }
  const TokenFiles files(paths, 0);
  RC_ASSERT(files.tokens() == n);
  RC_ASSERT(files.vocabulary() == *std::max_element(tokens.begin(), tokens.end()) + 1);
  const int64 begin = *rc::gen::inRange<int64>(0, n + 1), count = *rc::gen::inRange<int64>(0, n - begin + 1);
  Tokens read(static_cast<size_t>(count));
  files.read(begin, count, read.data());
  RC_ASSERT(read == Tokens(tokens.begin() + begin, tokens.begin() + begin + count));
}

struct Wrong {
  const char* what;
  std::string bytes;
  int64 vocabulary;
  std::vector<std::string> says;
};

TEST(TokenFiles, AWrongFileIsOneLineWithItsNameAndTheByte) {
  const Tokens tokens{1, 2, 300};
  const std::string good = gpt2_file(tokens);
  const Wrong wrongs[] = {
      {"version", header(20240520, 2, 3) + packed<uint16>(tokens), 0, {"byte 4", "version 2", "version 1"}},
      {"llama version", header(20240801, 1, 3) + packed<uint32>(tokens), 0, {"byte 4", "version 7"}},
      {"truncated", good.substr(0, good.size() - 2), 0, {"byte 8", "3 tokens", "4 bytes follow"}},
      {"too long", good + "ab", 0, {"byte 8", "8 bytes follow"}},
      {"half a token", good.substr(0, good.size() - 1), 0, {"byte 8", "5 bytes follow"}},
      {"count of the other width", header(20240801, 7, 3) + packed<uint16>(tokens), 0, {"byte 8"}},
      {"negative count", header(20240520, 1, -3) + packed<uint16>(tokens), 0, {"byte 8", "-3 tokens"}},
      {"count times width beyond 2^32", header(20240801, 7, 1 << 30), 0, {"byte 8", "0 bytes follow"}},
      {"header cut", good.substr(0, 1000), 0, {"byte 1000", "header of 1024"}},
      {"header alone", header(20240520, 1, 0), 0, {"byte 1024", "no token"}},
      {"empty", "", 0, {"byte 0", "no token"}},
      {"odd raw", packed<uint16>(tokens) + "x", 0, {"byte 6", "odd"}},
      {"one byte", "x", 0, {"byte 0", "odd"}},
      {"beyond vocab", good, 300, {"byte 1028", "token 2 is 300", "data.vocab of 300"}},
      {"raw beyond vocab", packed<uint16>(tokens), 2, {"byte 2", "token 1 is 2", "data.vocab of 2"}},
      {"no vocabulary is so large", llama3_file({1, 1 << 24}), 0, {"byte 1028", "16777216"}},
      {"token as large as int32's sign", llama3_file({-1}), 0, {"byte 1024", "4294967295"}},
      {"a model of llm.c", header(20240326, 3, 1024), 0, {"byte 0", "20240326"}},
      {"an evaluation of llm.c", header(20240522, 1, 7), 0, {"byte 0", "20240522"}},
  };
  const TemporaryFolder folder;
  for (const Wrong& wrong : wrongs) {
    const std::string path = folder.write("wrong.bin", wrong.bytes);
    const std::string line = error_of([&] { TokenFiles({path}, wrong.vocabulary); });
    EXPECT_THAT(line, HasSubstr(path)) << wrong.what;
    for (const std::string& words : wrong.says) EXPECT_THAT(line, HasSubstr(words)) << wrong.what;
  }
  EXPECT_EQ(TokenFiles({folder.write("right.bin", good)}, 301).tokens(), 3);
}

TEST(TokenFiles, AmongSeveralTheWrongOneIsNamed) {
  const TemporaryFolder folder;
  const std::string first = folder.write("0.bin", gpt2_file({1, 2}));
  const std::string beyond = folder.write("1.bin", gpt2_file({1, 9}));
  const std::string wide = folder.write("2.bin", llama3_file({1, 2}));
  EXPECT_THAT(error_of([&] {
                TokenFiles({first, beyond}, 9);
              }),
              AllOf(HasSubstr(beyond), HasSubstr("byte 1026")));
  EXPECT_THAT(error_of([&] {
                TokenFiles({first, wide}, 0);
              }),
              AllOf(HasSubstr(wide), HasSubstr("of one kind")));
  const std::string missing = (folder / "3.bin").string();
  EXPECT_THAT(error_of([&] { TokenFiles({first, missing}, 0); }), HasSubstr(missing));
}

TEST(TokenFiles, ACorpusIsTokensWhereAllItsFilesAreCalledBin) {
  const TemporaryFolder folder;
  const std::string two = folder.write("d/2.bin", "xx"), one = folder.write("d/1.bin", "xx");
  const std::string text = folder.write("d/a.txt", "text");
  EXPECT_THAT(token_files(one), ElementsAre(one));
  EXPECT_THAT(token_files((folder / "d/*.bin").string()), ElementsAre(one, two));
  EXPECT_THAT(token_files(text), IsEmpty());
  EXPECT_THAT(token_files((folder / "d/*").string()), IsEmpty());
  EXPECT_THAT(token_files((folder / "d").string()), IsEmpty());
  EXPECT_THAT(token_files("kjv"), IsEmpty());
  EXPECT_THAT(token_files("random:5"), IsEmpty());
  EXPECT_THAT(token_files((folder / "missing.txt").string()), IsEmpty());
  const std::string missing = (folder / "missing.bin").string();
  EXPECT_THAT(error_of([&] { token_files(missing); }), AllOf(HasSubstr(missing), HasSubstr("no such file")));
  const std::string literal = folder.write("d/[1].bin", "xx");
  EXPECT_THAT(token_files(literal), ElementsAre(literal));
}

TEST(TokenFiles, AFolderOfThemSaysHowToNameThem) {
  const TemporaryFolder folder;
  folder.write("d/1.bin", std::string(10, '\0'));
  EXPECT_THAT(error_of([&] { read_corpus((folder / "d").string()); }),
              HasSubstr("a glob of .bin files alone"));
}

class TokenDataset : public testing::Test {
 protected:
  TokenDataset() {
    for (int32 i = 0; i < 1000; ++i) tokens_.push_back(i * 7 % 1009);
    config_.corpus = folder_.write("t.bin", gpt2_file(tokens_));
    config_.cache = (folder_ / "cache").string();
    config_.block_bytes = 100;  // 50 tokens
    config_.held_out_every = 4;
  }
  Dataset open() const { return open_dataset(config_, 8); }

  TemporaryFolder folder_;
  Tokens tokens_;
  DataConfig config_;
};

TEST_F(TokenDataset, IsReadWhereItLiesAndSplitInBlocksOfBytes) {
  const Dataset data = open();
  EXPECT_EQ(data.held_out_tokens(), 250);
  EXPECT_EQ(data.train_tokens(), 750);
  EXPECT_EQ(data.vocabulary(), 1009);
  EXPECT_EQ(data.held_out_bytes(), 0);
  EXPECT_FALSE(std::filesystem::exists(config_.cache));
  Batch batch;
  data.evaluation_batch(6, 1, 8, batch);  // tokens 48 to 55 of the held-out side: its blocks are 0 and 4
  const Tokens expected{tokens_[48],  tokens_[49],  tokens_[200], tokens_[201],
                        tokens_[202], tokens_[203], tokens_[204], tokens_[205]};
  EXPECT_EQ(batch.tokens, expected);
  EXPECT_EQ(batch.targets.back(), tokens_[206]);
  EXPECT_THAT(describe(data), AllOf(HasSubstr("1000 tokens (uint16) of 1009 in 1 file;"),
                                    HasSubstr("every 4th block of 50")));
}

TEST_F(TokenDataset, ItsVocabularyIsKnownBeforeItIsOpened) {
  EXPECT_EQ(vocabulary_of(config_), 1009);
  config_.vocab = 50304;
  EXPECT_EQ(vocabulary_of(config_), 50304);
  EXPECT_EQ(vocabulary_of(DataConfig{}), 256);
}

TEST_F(TokenDataset, SeveralFilesGiveTheBatchesOfOne) {
  const Tokens first(tokens_.begin(), tokens_.begin() + 333), second(tokens_.begin() + 333, tokens_.end());
  folder_.write("parts/a.bin", packed<uint16>(first));
  folder_.write("parts/b.bin", gpt2_file(second));
  DataConfig parts = config_;
  parts.corpus = (folder_ / "parts/*.bin").string();
  Batch one, several;
  open().train_batch(3, 0, 200, 8, one);
  open_dataset(parts, 8).train_batch(3, 0, 200, 8, several);
  EXPECT_EQ(one.tokens, several.tokens);
  EXPECT_EQ(one.targets, several.targets);
}

TEST_F(TokenDataset, TheFingerprintSeesTokensVocabularyAndSplit) {
  const std::string same = open().fingerprint();
  std::set<std::string> all{same};
  const auto also = [&](auto change) {
    const DataConfig before = config_;
    change();
    all.insert(open().fingerprint());
    config_ = before;
  };
  also([&] { config_.vocab = 2000; });
  also([&] { config_.block_bytes = 50; });
  also([&] { config_.held_out_every = 5; });
  Tokens altered = tokens_;
  altered[999] = 1;
  also([&] { config_.corpus = folder_.write("altered.bin", gpt2_file(altered)); });
  EXPECT_EQ(all.size(), 5u);
  config_.corpus = folder_.write("moved.bin", packed<uint16>(tokens_));
  EXPECT_EQ(open().fingerprint(), same);
}

TEST_F(TokenDataset, WhatTokensCannotDoIsAUsageError) {
  config_.documents = true;
  EXPECT_THAT(error_of([&] { open(); }, ExitCode::usage), HasSubstr("data.documents"));
  config_.documents = false;
  config_.block_bytes = 101;
  EXPECT_THAT(error_of([&] { open(); }, ExitCode::usage), HasSubstr("a multiple of 2"));
  config_.block_bytes = 100;
  config_.corpus = folder_.write("text", std::string(1000, 'x'));
  config_.vocab = 300;
  EXPECT_THAT(error_of([&] { open(); }, ExitCode::usage),
              AllOf(HasSubstr("data.vocab = 300"), HasSubstr("text")));
}

}  // namespace
}  // namespace fovea
