#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "tests/tokenizer/files.h"
#include "tokenizer/aligned_text.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/pattern.h"
#include "tokenizer/pre_tokenizer.h"

namespace fovea {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Words = std::vector<std::string>;

/// What Python's bytes.decode(errors="replace") gives.
TEST(AsUtf8, ReplacesEachMaximalIllFormedPart) {
  const std::pair<std::string, std::string> cases[] = {
      {"a\xff"
       "b",
       "a�b"},
      {"\xe2\x82", "�"},
      {"\xe2\x82\xe2\x82\xac", "�€"},
      {"\xf0\x9f\x98", "�"},
      {"\xf0\x80\x80\x80", "����"},
      {"\xed\xa0\x80", "���"},
      {"\xc0\xaf", "��"},
      {"\xf4\x90\x80\x80", "����"},
      {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
      {"\xc3\x28", "�("},
      {"\x80\x80", "��"},
      {"\xf0\x9f\x98\xc3", "��"},
  };
  for (const auto& [bytes, expected] : cases) {
    AlignedText storage;
    EXPECT_EQ(as_utf8(bytes, storage).text, expected);
  }
}

TEST(AsUtf8, CountsTheBytesOfTheOriginal) {
  const std::string bytes = "ab\xe2\x82 c";
  AlignedText storage;
  const AlignedView view = as_utf8(bytes, storage);
  ASSERT_EQ(view.text, "ab� c");
  EXPECT_EQ(view.origin(2), 2u);
  EXPECT_EQ(view.origin(4), 2u);
  EXPECT_EQ(view.origin(5), 4u);
  EXPECT_EQ(view.origin(6), 5u);
}

Words matches(const std::string& pattern, const std::string& text) {
  Matcher matcher;
  Words words;
  for_each_match(matcher, Pattern::regex(pattern), text, [&](size_t begin, size_t end, bool is_match) {
    words.push_back((is_match ? "" : "-") + text.substr(begin, end - begin));
  });
  return words;
}

TEST(Pattern, MeansWhatOnigurumaMeans) {
  EXPECT_EQ(matches("\\p{L}+", "ab1é"), Words({"ab", "-1", "é"}));
  // U+180E was a space once, and PCRE2 still counts it.
  EXPECT_EQ(matches("\\s+", "a\u180e \u3000\u0085b"), Words({"-a\u180e", " \u3000\u0085", "-b"}));
  EXPECT_EQ(matches("[^\\s]+", "a\u2003b"), Words({"a", "-\u2003", "b"}));
  EXPECT_EQ(matches("(?i:'s)", "'S'ſ's"), Words({"'S", "'ſ", "'s"}));
  EXPECT_EQ(matches("\\s+(?!\\S)", "a   b  "), Words({"-a", "  ", "- b", "  "}));
  EXPECT_EQ(matches("\\u00e9", "éa"), Words({"é", "-a"}));
  EXPECT_EQ(matches("^a", "a\na"), Words({"a", "-\n", "a"}));
  // Empty matches cut, and find an end.
  EXPECT_EQ(matches("(?=b)", "abb"), Words({"-a", "", "-b", "", "-b"}));
}

TEST(Pattern, RefusesWhatPcre2WouldReadOtherwise) {
  for (const char* pattern : {"\\h", "\\R", "[a&&b]", "[[:alpha:]]", "a{2}+", "(?m:a)", "(?<name>a)", "\\1",
                              "(*FAIL)", "[\\S]", "(", "\\", "\\u12", "", "\\p{Nonsense}", "[]a]"})
    EXPECT_THROW(Pattern::regex(pattern), std::invalid_argument) << pattern;
}

TEST(Pattern, ACatastrophicOneIsGivenUp) {
  Matcher matcher;
  const Pattern pattern = Pattern::regex("(a|a)+$");
  EXPECT_THAT(error_of([&] { matcher.find(pattern, std::string(40, 'a') + "b", 0); }), HasSubstr("pattern"));
}

AlignedView normalized(const Normalizer& normalizer, const std::string& text, Normalization& storage) {
  Matcher matcher;
  return storage.apply({normalizer}, {text}, matcher);
}

TEST(NormalForm, ComposesAndKnowsWhereFrom) {
  Normalization storage;
  const std::string text = "xe\u0301y\u1100\u1161\u11a8\u212b!";
  const AlignedView view = normalized(NormalForm{true, false}, text, storage);
  EXPECT_EQ(view.text, "xéy각Å!");
  EXPECT_EQ(view.origin(1), 1u);  // é from e
  EXPECT_EQ(view.origin(3), 4u);  // y
  EXPECT_EQ(view.origin(4), 5u);  // 각 from its first consonant
  EXPECT_EQ(view.origin(7), 14u);
  EXPECT_EQ(view.origin(9), 17u);  // !
}

TEST(NormalForm, HasFourForms) {
  Normalization storage;
  EXPECT_EQ(normalized(NormalForm{false, false}, "é각ﬁ", storage).text, "e\u0301\u1100\u1161\u11a8ﬁ");
  EXPECT_EQ(normalized(NormalForm{true, true}, "e\u0301ﬁ²", storage).text, "éfi2");
  EXPECT_EQ(normalized(NormalForm{false, true}, "éﬁ", storage).text, "e\u0301fi");
  EXPECT_EQ(normalized(NormalForm{true, false}, "a\u0323\u0307\u0958", storage).text, "ạ\u0307\u0915\u093c");
}

TEST(NormalForm, LeavesNormalTextWhereItLies) {
  Normalization storage;
  const std::string text = "größer 人人 각 plain";
  EXPECT_EQ(normalized(NormalForm{true, false}, text, storage).text.data(), text.data());
}

TEST(Normalization, OneStepAfterAnother) {
  Matcher matcher;
  Normalization storage;
  const std::string text = "a b";
  const AlignedView view = storage.apply(
      {Prepend{"▁"}, Replace{Pattern::literal(" "), "▁"}, Replace{Pattern::regex("[ab]"), "xy"}}, {text},
      matcher);
  EXPECT_EQ(view.text, "▁xy▁xy");
  EXPECT_EQ(view.origin(3), 0u);
  EXPECT_EQ(view.origin(5), 1u);
  EXPECT_EQ(view.origin(8), 2u);
  EXPECT_TRUE(storage.apply({Prepend{"▁"}}, {}, matcher).empty());
}

Words words(const std::vector<PreTokenizer>& steps, const std::string& text) {
  Matcher matcher;
  Words out;
  pre_tokenize(steps, {text}, matcher, [&](const AlignedView& word) { out.emplace_back(word.text); });
  return out;
}

TEST(PreTokenizer, SplitsAsItsBehaviorSays) {
  const auto split = [](SplitBehavior behavior, bool invert = false) {
    return words({SplitByPattern{Pattern::literal("-"), behavior, invert}}, "the-final--countdown-");
  };
  EXPECT_EQ(split(SplitBehavior::removed), Words({"the", "final", "countdown"}));
  EXPECT_EQ(split(SplitBehavior::isolated), Words({"the", "-", "final", "-", "-", "countdown", "-"}));
  EXPECT_EQ(split(SplitBehavior::merged_with_previous), Words({"the-", "final-", "-", "countdown-"}));
  EXPECT_EQ(split(SplitBehavior::merged_with_next), Words({"the", "-final", "-", "-countdown", "-"}));
  EXPECT_EQ(split(SplitBehavior::contiguous), Words({"the", "-", "final", "--", "countdown", "-"}));
  EXPECT_EQ(split(SplitBehavior::removed, true), Words({"-", "-", "-", "-"}));
}

TEST(PreTokenizer, SplitsDigits) {
  EXPECT_EQ(words({SplitDigits{true}}, "a12½b"), Words({"a", "1", "2", "½", "b"}));
  EXPECT_EQ(words({SplitDigits{false}}, "a12½b3"), Words({"a", "12½", "b", "3"}));
}

TEST(PreTokenizer, WritesSpacesAsAnotherCharacter) {
  EXPECT_EQ(words({Metaspace{"▁", Metaspace::Prefix::always, true}}, "a  b "), Words({"▁a", "▁", "▁b", "▁"}));
  EXPECT_EQ(words({Metaspace{"▁", Metaspace::Prefix::never, true}}, "a b"), Words({"a", "▁b"}));
  EXPECT_EQ(words({Metaspace{"▁", Metaspace::Prefix::always, false}}, " a b"), Words({"▁a▁b"}));
  // "first" is for the beginning of the text alone.
  EXPECT_EQ(words({SplitDigits{}, Metaspace{"▁", Metaspace::Prefix::first, true}}, "a1"), Words({"▁a", "1"}));
}

TEST(AddedTokens, TheFirstAndThenTheLongestIsTaken) {
  const TokenizerFiles files;
  Json json = byte_level_json();
  json["added_tokens"] = {added_token("<a", 256), added_token("<ab>", 257), added_token("b>c", 258)};
  const Tokenizer tokenizer = files.open(json);
  EXPECT_THAT(tokenizer.encode("<ab>c<ac").ids, ElementsAre(257, 'c', 256, 'c'));
  EXPECT_THAT(tokenizer.encode("<ab>c<ac").begins, ElementsAre(0, 4, 5, 7));
  EXPECT_EQ(tokenizer.vocabulary(), 259);
}

TEST(AddedTokens, TakeSpacesOrWholeWordsAlone) {
  const TokenizerFiles files;
  Json json = byte_level_json();
  json["added_tokens"] = {added_token("<l>", 256, {{"lstrip", true}}),
                          added_token("<r>", 257, {{"rstrip", true}}),
                          added_token("word", 258, {{"single_word", true}})};
  const Tokenizer tokenizer = files.open(json);
  EXPECT_THAT(tokenizer.encode("x \u2003<l> y").ids, ElementsAre('x', 256, ' ', 'y'));
  EXPECT_THAT(tokenizer.encode("x \u2003<l> y").begins, ElementsAre(0, 1, 8, 9));
  EXPECT_THAT(tokenizer.encode("<r> \n<l>").ids, ElementsAre(257, 256));
  EXPECT_THAT(tokenizer.encode("word-word").ids, ElementsAre(258, '-', 258));
  EXPECT_THAT(tokenizer.encode("swordé").ids, ElementsAre('s', 'w', 'o', 'r', 'd', 0xC3, 0xA9));
}

TEST(AddedTokens, NormalizedOnesAreLookedForInNormalText) {
  const TokenizerFiles files;
  Json json = byte_level_json();
  json["normalizer"] = {{"type", "NFC"}};
  json["added_tokens"] = {added_token("e\u0301", 256, {{"normalized", true}}),
                          added_token("o\u0301", 257, {{"normalized", false}})};
  const Tokenizer tokenizer = files.open(json);
  EXPECT_THAT(tokenizer.encode("é").ids, ElementsAre(256));
  EXPECT_THAT(tokenizer.encode("e\u0301").ids, ElementsAre(256));
  EXPECT_THAT(tokenizer.encode("o\u0301").ids, ElementsAre(257));
  EXPECT_THAT(tokenizer.encode("ó").ids, ElementsAre(0xC3, 0xB3));
}

TEST(CharacterTokenizer, UnknownCharactersAreLeftOutReplacedOrSpelled) {
  const TokenizerFiles files;
  Json json = character_json({"<unk>", "a", "<0xC3>", "<0xA9>"});
  json["added_tokens"] = Json::array({added_token("<unk>", 0, {{"special", true}})});
  json["decoder"] = {{"type", "Sequence"}, {"decoders", {{{"type", "ByteFallback"}}, {{"type", "Fuse"}}}}};
  EXPECT_THAT(files.open(json).encode("axxa").ids, ElementsAre(1, 1));
  json["model"]["unk_token"] = "<unk>";
  EXPECT_THAT(files.open(json).encode("axxa").ids, ElementsAre(1, 0, 0, 1));
  json["model"]["fuse_unk"] = true;
  EXPECT_THAT(files.open(json).encode("axxa").ids, ElementsAre(1, 0, 1));
  EXPECT_THAT(files.open(json).encode("axxa").begins, ElementsAre(0, 1, 3));
  json["model"]["byte_fallback"] = true;
  const Tokenizer spelled = files.open(json);
  EXPECT_THAT(spelled.encode("éxa").ids, ElementsAre(2, 3, 0, 1));
  EXPECT_THAT(spelled.encode("éxa").begins, ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(spelled.decode(std::vector<int32>{2, 3, 1}), "éa");
}

TEST(CharacterTokenizer, AWordThatIsATokenMayIgnoreMerges) {
  const TokenizerFiles files;
  Json json = character_json({"a", "b", "c", "ab", "abc"}, {{"a", "b"}});
  EXPECT_THAT(files.open(json).encode("abc").ids, ElementsAre(3, 2));
  json["model"]["ignore_merges"] = true;
  EXPECT_THAT(files.open(json).encode("abc").ids, ElementsAre(4));
}

}  // namespace
}  // namespace fovea
