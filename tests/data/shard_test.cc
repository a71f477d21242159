#include "data/shard.h"

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include <cstring>

#include "core/hash.h"
#include "tests/data/helpers.h"

namespace fovea {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr size_t kHeader = 64;

struct Written {
  TemporaryFolder folder;
  std::filesystem::path path = folder / "s.shard";

  void put(const std::string& bytes) const { folder.write("s.shard", bytes); }
  std::string error() const {
    const std::string line = error_of([&] { Shard shard(path); });
    EXPECT_THAT(line, HasSubstr(path.string()));
    return line;
  }
};

ShardContent content_of(std::string_view text, std::span<const int64> documents) {
  return {.vocabulary = 256,
          .token_bytes = 1,
          .source = 7,
          .tokens = std::as_bytes(std::span(text)),
          .documents = documents};
}

/// A small shard's bytes.
std::string sample() {
  const Written file;
  const std::vector<int64> documents{0, 3};
  write_shard(file.path, content_of("abcdefghij", documents));
  return read_file(file.path);
}

template <class T>
void set(std::string& file, size_t at, T value) {
  std::memcpy(file.data() + at, &value, sizeof(value));
}

/// Makes both checksums right again, so that what is behind them is what is tested.
std::string sealed(std::string file) {
  const auto bytes = std::as_bytes(std::span(file));
  set<uint64>(file, 48, hash64(bytes.subspan(kHeader)));
  set<uint64>(file, 56, hash64(bytes.first(56)));
  return file;
}

TEST(Shard, GivesBackWhatWasWritten) {
  const Written file;
  const std::vector<int64> documents{0, 3};
  write_shard(file.path, content_of("abcdefghij", documents));
  const Shard shard(file.path);
  EXPECT_EQ(shard.vocabulary(), 256);
  EXPECT_EQ(shard.tokens(), 10);
  EXPECT_EQ(shard.source(), 7u);
  EXPECT_EQ(shard.documents(), documents);
  std::vector<int32> tokens(4);
  shard.read(2, 4, tokens.data());
  EXPECT_THAT(tokens, ElementsAre('c', 'd', 'e', 'f'));
}

TEST(Shard, HasTheFormatThatIsDocumented) {
  const std::string file = sample();
  ASSERT_EQ(file.size(), kHeader + 2 * 8 + 10);
  EXPECT_EQ(file.substr(0, 8), "foveashd");
  EXPECT_EQ(file.substr(kHeader + 16), "abcdefghij");
  EXPECT_EQ(file, sealed(file));
}

template <class T>
void gives_back_any_tokens() {
  const auto tokens = *rc::gen::nonEmpty<std::vector<T>>();
  int64 vocabulary = 1;
  for (const T token : tokens) vocabulary = std::max<int64>(vocabulary, int64{token} + 1);
  RC_PRE(vocabulary <= int64{1} << 31);
  const std::vector<int64> documents{0};
  const Written file;
  write_shard(file.path, {.vocabulary = vocabulary,
                          .token_bytes = sizeof(T),
                          .source = 1,
                          .tokens = std::as_bytes(std::span(tokens)),
                          .documents = documents});
  const Shard shard(file.path);
  std::vector<int32> read(tokens.size());
  shard.read(0, shard.tokens(), read.data());
  RC_ASSERT(std::equal(tokens.begin(), tokens.end(), read.begin(), read.end(),
                       [](T a, int32 b) { return int64{a} == int64{b}; }));
}
RC_GTEST_PROP(Shard, GivesBackAnyTokensOfOneByte, ()) { gives_back_any_tokens<std::uint8_t>(); }
RC_GTEST_PROP(Shard, GivesBackAnyTokensOfTwoBytes, ()) { gives_back_any_tokens<uint16>(); }
RC_GTEST_PROP(Shard, GivesBackAnyTokensOfFourBytes, ()) { gives_back_any_tokens<uint32>(); }

TEST(Shard, TruncatedAtEveryByteIsOneLine) {
  const Written file;
  const std::string whole = sample();
  for (size_t size = 0; size < whole.size(); ++size) {
    file.put(whole.substr(0, size));
    EXPECT_THAT(file.error(), size < kHeader ? HasSubstr("begins with 64 bytes") : HasSubstr("truncated"))
        << size;
  }
  file.put(whole + "x");
  EXPECT_THAT(file.error(), HasSubstr("too long"));
}

TEST(Shard, AlteredInAnyBitIsOneLine) {
  const Written file;
  const std::string whole = sample();
  for (size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string altered = whole;
    altered[bit / 8] = static_cast<char>(altered[bit / 8] ^ (1 << (bit % 8)));
    file.put(altered);
    EXPECT_THAT(file.error(), HasSubstr("delete it")) << "bit " << bit;
  }
}

RC_GTEST_PROP(Shard, AnyBytesAreOneLine, (std::string bytes)) {
  const Written file;
  file.put(bytes);
  file.error();
  file.put("foveashd" + bytes);
  file.error();
}

TEST(Shard, SizesThatOverflowAreTruncation) {
  const Written file;
  const std::string whole = sample();
  constexpr uint64 huge[] = {11, uint64{1} << 61, (uint64{1} << 61) + 2, uint64{1} << 63, ~uint64{0}};
  for (const uint64 size : huge) {
    std::string tokens = whole, documents = whole;
    set<uint64>(tokens, 24, size);
    file.put(sealed(tokens));
    EXPECT_THAT(file.error(), HasSubstr("truncated"));
    set<uint64>(documents, 32, size);
    file.put(sealed(documents));
    EXPECT_THAT(file.error(), HasSubstr("truncated"));
  }
}

TEST(Shard, SizesAreCountedInTokensOfTheirWidth) {
  const Written file;
  const auto with = [&](uint32 width, uint64 tokens) {  // over the sample's ten bytes of tokens
    std::string bytes = sample();
    set<uint32>(bytes, 12, width);
    set<uint64>(bytes, 16, 1 << 16);
    set<uint64>(bytes, 24, tokens);
    file.put(sealed(bytes));
  };
  with(2, 5);
  EXPECT_EQ(Shard(file.path).tokens(), 5);
  with(2, 5 + (uint64{1} << 63));  // twice this wraps around to ten
  EXPECT_THAT(file.error(), HasSubstr("truncated"));
  with(4, 2);
  EXPECT_THAT(file.error(), HasSubstr("truncated"));
}

TEST(Shard, HeadersThatMakeNoSenseAreOneLineThoughSealed) {
  const Written file;
  const std::string whole = sample();
  const auto refused = [&](size_t at, auto value, const char* why) {
    std::string altered = whole;
    set(altered, at, value);
    file.put(sealed(altered));
    EXPECT_THAT(file.error(), HasSubstr(why)) << "at " << at;
  };
  refused(0, 'F', "not a token shard");
  refused(8, uint32{3}, "version 3");
  for (const uint32 width : {0u, 3u, 8u, ~0u}) refused(12, width, "not 1, 2 or 4");
  for (const uint64 size : {uint64{0}, (uint64{1} << 31) + 1, ~uint64{0}}) refused(16, size, "vocabulary");
  refused(kHeader, int64{1}, "document 0");
  for (const int64 start : {int64{0}, int64{-1}, int64{10}, int64{1} << 62})
    refused(kHeader + 8, start, "document 1");
}

TEST(Shard, BlocksOfTextComeBack) {
  const Written file;
  const std::vector<int64> documents{0, 3}, blocks{0, 2, 2, 9};
  ShardContent content = content_of("abcdefghij", documents);
  content.blocks = blocks;
  write_shard(file.path, content);
  const Shard shard(file.path);
  EXPECT_EQ(shard.blocks(), blocks);
  EXPECT_EQ(shard.documents(), documents);
  EXPECT_EQ(shard.tokens(), 10);
  std::vector<int32> tokens(10);
  shard.read(0, 10, tokens.data());
  EXPECT_EQ(tokens.front(), 'a');
  EXPECT_EQ(tokens.back(), 'j');
}

TEST(Shard, BlocksThatMakeNoSenseAreOneLineThoughSealed) {
  const Written file;
  const std::vector<int64> documents{0, 3}, blocks{0, 2, 2, 9};
  ShardContent content = content_of("abcdefghij", documents);
  content.blocks = blocks;
  write_shard(file.path, content);
  const std::string whole = read_file(file.path);
  const auto refused = [&](size_t at, auto value, const char* why) {
    std::string altered = whole;
    set(altered, at, value);
    file.put(sealed(altered));
    EXPECT_THAT(file.error(), HasSubstr(why)) << "at " << at;
  };
  for (const uint64 count :
       {uint64{3}, uint64{5}, uint64{100}, uint64{1} << 61, (uint64{1} << 61) - 1, ~uint64{0}})
    refused(kHeader, count, "truncated");
  for (const int64 begin : {int64{1}, int64{-1}, int64{1} << 62}) refused(kHeader + 8 + 16, begin, "block 2");
  refused(kHeader + 8 + 24, int64{11}, "block 3");
  for (size_t n = 0; n < 32; ++n) {
    file.put(sealed(whole.substr(0, kHeader) + whole.substr(whole.size() - n)));
    file.error();
  }
}

TEST(Shard, WithoutDocumentsIsOneLine) {
  const Written file;
  write_shard(file.path, content_of("abc", {}));
  EXPECT_THAT(file.error(), HasSubstr("no document"));
}

TEST(Shard, ATokenBeyondTheVocabularyIsOneLine) {
  const Written file;
  std::string text = sample();
  set<uint64>(text, 16, 'j');  // the last of "abcdefghij" is one too many
  file.put(sealed(text));
  EXPECT_THAT(file.error(), AllOf(HasSubstr("token 9 is 106"), HasSubstr("vocabulary of 106")));
  set<uint64>(text, 16, 'j' + 1);
  file.put(sealed(text));
  EXPECT_EQ(Shard(file.path).vocabulary(), 'j' + 1);

  const std::vector<int64> documents{0};
  const std::vector<uint32> wide{1, 0xffffffffu, 2};
  write_shard(file.path, {.vocabulary = int64{1} << 31,
                          .token_bytes = 4,
                          .source = 0,
                          .tokens = std::as_bytes(std::span(wide)),
                          .documents = documents});
  EXPECT_THAT(file.error(), HasSubstr("token 1 is 4294967295"));
}

TEST(Shard, MissingOrAFolderIsOneLine) {
  const Written file;
  EXPECT_THAT(file.error(), HasSubstr("No such file"));
  std::filesystem::create_directory(file.path);
  EXPECT_THAT(file.error(), HasSubstr("not a regular file"));
}

TEST(Shard, AFolderThatCannotBeWrittenIsAFailure) {
  const TemporaryFolder folder;
  const std::vector<int64> documents{0};
  EXPECT_THAT(
      error_of([&] { write_shard(folder / "no/s.shard", content_of("abc", documents)); }, ExitCode::failed),
      HasSubstr("cannot be written"));
}

}  // namespace
}  // namespace fovea
