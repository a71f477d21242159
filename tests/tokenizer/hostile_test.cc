// Files from outside: one line that names the file and what is wrong with it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/tokenizer/files.h"
#include "tokenizer/sentencepiece_model.h"

namespace fovea {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Wrong {
  const char* what;
  std::function<void(Json&)> change;
  std::vector<std::string> said;
};

Json good() {
  Json json = byte_level_json({{"a", "b"}, {"ab", "c"}});
  json["added_tokens"] = Json::array({added_token("<s>", 258, {{"special", true}})});
  return json;
}

Json repeated(const Json& part, size_t times) {
  Json list = Json::array();
  for (size_t i = 0; i < times; ++i) list.push_back(part);
  return list;
}

TEST(HostileTokenizer, EachWrongMemberIsNamed) {
  const Wrong cases[] = {
      {"not an object", [](Json& j) { j = Json::array(); }, {"must be an object"}},
      {"version", [](Json& j) { j["version"] = "2.0"; }, {"version", "2.0"}},
      {"no model", [](Json& j) { j.erase("model"); }, {"model is missing"}},
      {"kind", [](Json& j) { j["model"]["type"] = "WordPiece"; }, {"WordPiece", "not supported"}},
      {"unigram",
       [](Json& j) {
         j["model"] = {{"type", "Unigram"}, {"vocab", Json::array()}};
       },
       {"Unigram"}},
      {"vocab is a list", [](Json& j) { j["model"]["vocab"] = Json::array(); }, {"model.vocab"}},
      {"no tokens", [](Json& j) { j["model"]["vocab"] = Json::object(); }, {"model.vocab", "empty"}},
      {"negative id", [](Json& j) { j["model"]["vocab"]["a"] = -1; }, {"model.vocab", "-1"}},
      {"id is a text", [](Json& j) { j["model"]["vocab"]["a"] = "1"; }, {"model.vocab"}},
      {"id is a fraction", [](Json& j) { j["model"]["vocab"]["a"] = 1.5; }, {"model.vocab", "1.5"}},
      {"id too large", [](Json& j) { j["model"]["vocab"]["a"] = 18446744073709551615u; }, {"model.vocab"}},
      {"id far beyond", [](Json& j) { j["model"]["vocab"]["a"] = 16'000'000; }, {"model.vocab", "16000000"}},
      {"id twice", [](Json& j) { j["model"]["vocab"]["a"] = 98; }, {"model.vocab", "id 98"}},
      {"no merges", [](Json& j) { j["model"]["merges"] = Json::array(); }, {"model.merges", "empty"}},
      {"merges gone", [](Json& j) { j["model"].erase("merges"); }, {"model.merges", "missing"}},
      {"unknown part", [](Json& j) { j["model"]["merges"][1][0] = "zz"; }, {"model.merges[1]", "zz"}},
      {"unknown whole", [](Json& j) { j["model"]["merges"][1][1] = "z"; }, {"model.merges[1]", "abz"}},
      {"merge of three",
       [](Json& j) {
         j["model"]["merges"][0] = {"a", "b", "c"};
       },
       {"model.merges[0]"}},
      {"merge of one word", [](Json& j) { j["model"]["merges"][0] = "ab"; }, {"model.merges[0]"}},
      {"merge of three words", [](Json& j) { j["model"]["merges"][0] = "a b c"; }, {"model.merges[0]"}},
      {"merge of numbers",
       [](Json& j) {
         j["model"]["merges"][0] = {1, 2};
       },
       {"model.merges[0]"}},
      {"unknown unknown", [](Json& j) { j["model"]["unk_token"] = "<none>"; }, {"unk_token", "<none>"}},
      {"dropout", [](Json& j) { j["model"]["dropout"] = 0.1; }, {"dropout"}},
      {"prefix",
       [](Json& j) { j["model"]["continuing_subword_prefix"] = "##"; },
       {"continuing_subword_prefix"}},
      {"suffix", [](Json& j) { j["model"]["end_of_word_suffix"] = "</w>"; }, {"end_of_word_suffix"}},
      {"flag", [](Json& j) { j["model"]["fuse_unk"] = 1; }, {"model.fuse_unk", "true or false"}},
      {"added id", [](Json& j) { j["added_tokens"][0]["id"] = 300; }, {"added_tokens[0]", "300", "258"}},
      {"added id of another", [](Json& j) { j["added_tokens"][0]["id"] = 97; }, {"added_tokens[0]", "97"}},
      {"added twice",
       [](Json& j) { j["added_tokens"].push_back(j["added_tokens"][0]); },
       {"added_tokens[1]", "twice"}},
      {"added empty", [](Json& j) { j["added_tokens"][0]["content"] = ""; }, {"added_tokens[0]", "empty"}},
      {"added long",
       [](Json& j) { j["added_tokens"][0]["content"] = std::string(5000, 'x'); },
       {"5000 bytes"}},
      {"added is a text", [](Json& j) { j["added_tokens"][0] = "<s>"; }, {"added_tokens[0]", "object"}},
      {"normalizer",
       [](Json& j) {
         j["normalizer"] = {{"type", "BertNormalizer"}};
       },
       {"BertNormalizer"}},
      {"deep normalizer",
       [](Json& j) {
         j["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}, {{"type", "Nmt"}}}}};
       },
       {"normalizer.normalizers[1]", "Nmt"}},
      {"no type", [](Json& j) { j["normalizer"] = Json::object(); }, {"normalizer.type"}},
      {"pre-tokenizer",
       [](Json& j) {
         j["pre_tokenizer"] = {{"type", "Whitespace"}};
       },
       {"Whitespace"}},
      {"pattern",
       [](Json& j) {
         j["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"Regex", "(a"}}}, {"behavior", "Isolated"}};
       },
       {"pre_tokenizer.pattern.Regex", "(a"}},
      {"two patterns",
       [](Json& j) {
         j["pre_tokenizer"] = {
             {"type", "Split"}, {"pattern", {{"Regex", "a"}, {"String", "a"}}}, {"behavior", "Isolated"}};
       },
       {"pre_tokenizer.pattern"}},
      {"behavior",
       [](Json& j) {
         j["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"Regex", "a"}}}, {"behavior", "Lost"}};
       },
       {"pre_tokenizer.behavior", "Lost"}},
      {"after bytes",
       [](Json& j) {
         j["pre_tokenizer"] = {{"type", "Sequence"},
                               {"pretokenizers", {{{"type", "ByteLevel"}}, {{"type", "Digits"}}}}};
       },
       {"pretokenizers[1]", "ByteLevel"}},
      {"metaspace",
       [](Json& j) {
         j["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "__"}};
       },
       {"replacement", "one character"}},
      {"decoder",
       [](Json& j) {
         j["decoder"] = {{"type", "CTC"}};
       },
       {"CTC"}},
      {"strip",
       [](Json& j) {
         j["decoder"] = {{"type", "Strip"}, {"content", " "}, {"start", -1}, {"stop", 0}};
       },
       {"decoder.start", "-1"}},
      {"post-processor",
       [](Json& j) {
         j["post_processor"] = {{"type", "Magic"}};
       },
       {"Magic"}},
      {"template",
       [](Json& j) {
         j["post_processor"] = {{"type", "TemplateProcessing"},
                                {"single", {{{"SpecialToken", {{"id", "<s>"}}}}}},
                                {"special_tokens", {{"<s>", {{"ids", {999}}}}}}};
       },
       {"no token 999"}},
  };
  const TokenizerFiles files;
  EXPECT_NO_THROW(files.open(good()));
  for (const Wrong& wrong : cases) {
    SCOPED_TRACE(wrong.what);
    Json json = good();
    wrong.change(json);
    const std::string path = files.write(json.dump(), "tokenizer.json");
    const std::string line = error_of([&] { open_tokenizer(path); });
    EXPECT_TRUE(line.starts_with(path + ": ")) << line;
    for (const std::string& said : wrong.said) EXPECT_THAT(line, HasSubstr(said));
    EXPECT_LT(line.size(), path.size() + 300);
  }
}

TEST(HostileTokenizer, WhatIsNoJsonIsRefused) {
  const TokenizerFiles files;
  const auto refused = [&](const std::string& text, const std::string& said) {
    const std::string path = files.write(text, "tokenizer.json");
    EXPECT_THAT(error_of([&] { open_tokenizer(path); }), AllOf(HasSubstr(path), HasSubstr(said)));
  };
  refused("", "byte");
  refused("{\"model\": ", "byte 1");
  refused("{\"a\": \"\xff\"}", "byte");
  refused("{\"model\": {}, \"model\": {}}", "twice");
  refused(R"({"model": {"vocab": {"a": 1, "a": 2}}})", "gives \"a\" twice");
  refused(std::string(100'000, '['), "deeper");
  std::string deep;
  for (int i = 0; i < 10'000; ++i) deep += "{\"a\":";
  refused(deep, "deeper");
  refused("{\"a\": 1e999}", "not valid JSON");
  std::string many = "[0";
  for (int i = 0; i < 6'000'000; ++i) many += ",0";
  refused(many + "]", "values");
}

// What would take hours or all memory, each in milliseconds.
TEST(HostileTokenizer, WhatWouldNeverEndIsRefused) {
  const TokenizerFiles files;
  const auto refused = [&](auto change, const std::string& said) {
    Json json = good();
    change(json);
    EXPECT_THAT(error_of([&] { files.open(json).encode(std::string(1000, 'l')); }), HasSubstr(said));
  };
  const Json doubling = {{"type", "Replace"}, {"pattern", {{"String", "l"}}}, {"content", "ll"}};
  refused(
      [&](Json& j) {
        j["normalizer"] = {{"type", "Sequence"}, {"normalizers", repeated(doubling, 40)}};
      },
      "replacements");
  refused(
      [&](Json& j) {
        j["normalizer"] = {{"type", "Sequence"}, {"normalizers", repeated(doubling, 51)}};
      },
      "51 parts");
  refused(
      [](Json& j) {
        j["normalizer"] = {{"type", "Prepend"}, {"prepend", std::string(1001, 'x')}};
      },
      "1001 bytes");
  refused(
      [](Json& j) {
        const Json inner = {{"type", "Sequence"}, {"normalizers", Json::array()}};
        j["normalizer"] = {{"type", "Sequence"}, {"normalizers", {inner}}};
      },
      "Sequence within");
  // A list of many objects: the parser must not look through it for each of them.
  std::string many = "[{}";
  for (int i = 0; i < 400'000; ++i) many += ",{}";
  error_of([&] { open_tokenizer(files.write(many + "]", "tokenizer.json")); });
}

TEST(HostileTokenizer, EveryTruncationOfAFileIsRefused) {
  const TokenizerFiles files;
  const std::string text = good().dump();
  for (size_t n = 0; n < text.size(); n += 97)
    error_of([&] { open_tokenizer(files.write(text.substr(0, n), "tokenizer.json")); });
}

TEST(HostileTokenizer, AMissingFileSaysWhatThereCouldBe) {
  EXPECT_THAT(error_of([] { open_tokenizer("bpe"); }), AllOf(HasSubstr("bpe"), HasSubstr("say bytes")));
  EXPECT_THAT(error_of([] { open_tokenizer("/"); }), HasSubstr("no such tokenizer"));
}

TEST(HostileTokenizer, TokensBeyondTheVocabularyAreNotDecoded) {
  const TokenizerFiles files;
  const Tokenizer tokenizer = files.open(good());
  EXPECT_THAT(error_of([&] { tokenizer.decode(std::vector<int32>{1, 259}); }), HasSubstr("token 259"));
  EXPECT_THAT(error_of([&] { tokenizer.decode(std::vector<int32>{-1}); }), HasSubstr("token -1"));
}

class HostileModel : public testing::Test {
 protected:
  static std::string golden(const char* name) { return read_file(std::string(GOLDEN_TOKENIZERS "/") + name); }
  std::string refused(const std::string& bytes) const {
    const std::string path = files_.write(bytes, "m.model");
    const std::string line = error_of([&] { open_tokenizer(path); });
    EXPECT_TRUE(line.starts_with(path + ": ")) << line;
    return line;
  }
  TokenizerFiles files_;
};

TEST_F(HostileModel, WhatIsNoModelIsRefused) {
  refused("");
  refused("hello, this is no model");
  refused(std::string(1000, '\xff'));
  refused(std::string("\x0a\xff\xff\xff\xff\x0f", 6));
  EXPECT_THAT(refused(std::string("\x0a\x06\x0a\x04"
                                  "a\0bc",
                                  8)),
              HasSubstr("NUL"));
}

TEST_F(HostileModel, TruncationsAreRefusedOrWhole) {
  const std::string model = golden("bpe.model");
  int refusals = 0;
  for (size_t n = 0; n < model.size(); n += 501) {
    const std::string path = files_.write(model.substr(0, n), "m.model");
    try {
      open_tokenizer(path).encode("some text 人人");
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), ExitCode::input);
      ++refusals;
    }
  }
  EXPECT_GT(refusals, 30);
}

/// A bit of each unit of the table of characters in turn: the library would follow it anywhere.
TEST_F(HostileModel, ATableOfCharactersThatLeadsAstrayIsRefused) {
  const std::string model = golden("unigram.model");
  // The table is the file's largest field: its length stands before it.
  const size_t table = model.find("nmt_nfkc") + 8;
  ASSERT_LT(table, model.size());
  int refusals = 0;
  for (size_t at = table + 40; at < table + 40'000; at += 397) {
    std::string altered = model;
    altered[at] = static_cast<char>(altered[at] ^ 0x7F);
    const std::string path = files_.write(altered, "m.model");
    try {
      open_tokenizer(path).encode("some text ﬁ ² 人人 \u00a0 x");
    } catch (const UserError&) {
      ++refusals;
    }
  }
  EXPECT_GT(refusals, 10);
}

}  // namespace
}  // namespace fovea
