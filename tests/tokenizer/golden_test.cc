// The ids of the reference libraries (tests/golden/tokenizers/make.py) on a text of all kinds of
// difficulties.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "core/file.h"
#include "tokenizer/tokenizer.h"

namespace fovea {
namespace {

using testing::ElementsAre;

std::string golden(const std::string& name) { return std::string(GOLDEN_TOKENIZERS "/") + name; }

std::vector<int32> golden_ids(const std::string& name) {
  const std::string bytes = read_file(golden(name + ".ids"));
  std::vector<uint16> wide(bytes.size() / sizeof(uint16));
  std::memcpy(wide.data(), bytes.data(), bytes.size());
  return {wide.begin(), wide.end()};
}

class GoldenTokenizer : public testing::TestWithParam<const char*> {};

TEST_P(GoldenTokenizer, GivesTheIdsOfTheReference) {
  const std::string file = GetParam(), name = file.substr(0, file.find('.'));
  const std::string text = read_file(golden("text.bin"));
  const Encoding encoding = open_tokenizer(golden(file)).encode(text);
  const std::vector<int32> expected = golden_ids(name);
  ASSERT_GT(expected.size(), 5000u);
  EXPECT_EQ(encoding.ids, expected);
}

// However a text is cut, each byte belongs to one token.
TEST_P(GoldenTokenizer, ItsTokensStandForTheWholeText) {
  const std::string text = read_file(golden("text.bin"));
  const Encoding encoding = open_tokenizer(golden(GetParam())).encode(text);
  ASSERT_EQ(encoding.begins.size(), encoding.ids.size());
  EXPECT_EQ(encoding.begins.front(), 0);
  EXPECT_TRUE(std::is_sorted(encoding.begins.begin(), encoding.begins.end()));
  EXPECT_LE(encoding.begins.back(), static_cast<int64>(text.size()));
}

TEST_P(GoldenTokenizer, AnEncoderThatRemembersGivesTheSameIds) {
  const std::string text = read_file(golden("text.bin"));
  TextEncoder encoder(open_tokenizer(golden(GetParam())));
  Encoding first, second;
  encoder.encode(text, first);
  encoder.encode(text, second);
  EXPECT_EQ(first.ids, second.ids);
  EXPECT_EQ(first.begins, second.begins);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTokenizer,
                         testing::Values("gpt2.json", "roberta.json", "neox.json", "llama3.json",
                                         "qwen2.json", "o200k.json", "digits.json", "llama2.json",
                                         "mistral.json", "gemma.json", "unknown.json", "bpe.model",
                                         "unigram.model"),
                         [](const auto& p) {
                           std::string name = p.param;
                           name[name.find('.')] = '_';
                           return name;
                         });

TEST(GoldenTokenizers, KnowWhatStandsAroundAText) {
  const Tokenizer llama = open_tokenizer(golden("llama2.json")),
                  roberta = open_tokenizer(golden("roberta.json")),
                  gpt2 = open_tokenizer(golden("gpt2.json")), llama3 = open_tokenizer(golden("llama3.json"));
  EXPECT_EQ(llama.bos(), 1);
  EXPECT_FALSE(llama.eos());
  EXPECT_EQ(llama3.bos(), 700);
  EXPECT_FALSE(gpt2.bos());
  EXPECT_EQ(roberta.bos(), 0);
  EXPECT_EQ(roberta.eos(), 1);
  const Encoding around = roberta.encode_with_special("hello"), plain = roberta.encode("hello");
  ASSERT_EQ(around.ids.size(), plain.ids.size() + 2);
  EXPECT_EQ(around.ids.front(), 0);
  EXPECT_EQ(around.ids.back(), 1);
  EXPECT_EQ(around.begins.back(), 5);
  EXPECT_EQ(open_tokenizer(golden("bpe.model")).before_text(), std::vector<int32>{1});
  EXPECT_TRUE(open_tokenizer(golden("bpe.model")).after_text().empty());
  EXPECT_EQ(open_tokenizer(golden("bpe.model")).eos(), 2);
}

TEST(GoldenTokenizers, DecodeWhatTheyEncode) {
  const std::string text = "In the beginning, größer als 10.5  人人 👩‍👩‍👧‍👦\n\tx";
  for (const char* file : {"gpt2.json", "neox.json", "llama3.json", "qwen2.json", "o200k.json", "digits.json",
                           "llama2.json", "mistral.json", "gemma.json", "bpe.model"}) {
    const Tokenizer tokenizer = open_tokenizer(golden(file));
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text).ids), text) << file;
  }
}

TEST(GoldenTokenizers, ContentNamesTheFileAndNotItsPlace) {
  const auto copy = std::filesystem::temp_directory_path() / "fovea-tokenizer-copy.json";
  write_file_atomically(copy, read_file(golden("gpt2.json")));
  EXPECT_EQ(open_tokenizer(copy.string()).content(), open_tokenizer(golden("gpt2.json")).content());
  EXPECT_NE(open_tokenizer(golden("neox.json")).content(), open_tokenizer(golden("gpt2.json")).content());
  // A file that was replaced is read again.
  write_file_atomically(copy, read_file(golden("neox.json")));
  EXPECT_EQ(open_tokenizer(copy.string()).content(), open_tokenizer(golden("neox.json")).content());
  std::filesystem::remove(copy);
}

}  // namespace
}  // namespace fovea
