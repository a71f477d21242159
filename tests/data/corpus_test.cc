#include "data/corpus.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "tests/data/helpers.h"

namespace fovea {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(Corpus, AFileIsItsBytesAndBlankLinesPartItsDocuments) {
  const TemporaryFolder folder;
  const std::string text = "\n one\ntwo\n\n \t\r\nthree\n\n\n\nfour";
  const Corpus corpus = read_corpus(folder.write("a", text));
  EXPECT_EQ(corpus.text, text);
  EXPECT_THAT(corpus.documents, ElementsAre(0, text.find("three"), text.find("four")));
}

TEST(Corpus, AFileMayHoldAnyBytes) {
  const TemporaryFolder folder;
  const std::string bytes("\0\xff\n\n\x80", 5);
  EXPECT_EQ(read_corpus(folder.write("binary", bytes)).text, bytes);
}

TEST(Corpus, AFolderIsItsTextFilesSortedByPathADocumentEach) {
  const TemporaryFolder folder;
  folder.write("b.txt", "bb\n\nb");
  folder.write("a/z.txt", "z");
  folder.write("c.txt", "ccc");
  folder.write("B.txt", "BBBB");
  folder.write("empty.txt", "");
  folder.write("image", std::string_view("x\0y", 3));
  folder.write(".hidden", "h");
  folder.write(".git/config", "g");
  const Corpus corpus = read_corpus(folder.path());
  EXPECT_EQ(corpus.text, "BBBBzbb\n\nbccc");
  EXPECT_THAT(corpus.documents, ElementsAre(0, 4, 5, 10));
}

TEST(Corpus, AGlobIsWhatItMatchesSortedOnceEach) {
  const TemporaryFolder folder;
  folder.write("2.txt", "two");
  folder.write("10.txt", "ten");
  folder.write("3.md", "three");
  folder.write("sub.txt/x", "inside");
  const Corpus corpus = read_corpus((folder / "*.txt").string());
  EXPECT_EQ(corpus.text, "tentwoinside");
  EXPECT_THAT(corpus.documents, ElementsAre(0, 3, 6));
  EXPECT_EQ(read_corpus((folder / "[0-9].*").string()).text, "twothree");
}

TEST(Corpus, AFileWhoseNameLooksLikeAGlobIsAFile) {
  const TemporaryFolder folder;
  folder.write("a1", "other");
  EXPECT_EQ(read_corpus(folder.write("a[1]", "this")).text, "this");
}

TEST(Corpus, RandomBytesAreTheSameEveryTimeAndUniform) {
  const Corpus corpus = read_corpus("random");
  EXPECT_EQ(corpus.text.size(), 1u << 20);
  EXPECT_EQ(corpus.text, read_corpus("random:1048576").text);
  EXPECT_EQ(read_corpus("random:1001").text, corpus.text.substr(0, 1001));
  std::vector<double> counts(256);
  for (const char c : corpus.text) ++counts[static_cast<unsigned char>(c)];
  double chi_squared = 0;
  for (const double n : counts) chi_squared += (n - 4096) * (n - 4096) / 4096;
  // 255 degrees of freedom: mean 255, standard deviation 22.6.
  EXPECT_GT(chi_squared, 255 - 6 * 22.6);
  EXPECT_LT(chi_squared, 255 + 6 * 22.6);
}

TEST(Corpus, WhatCannotBeReadIsOneLine) {
  const TemporaryFolder folder;
  const std::string missing = (folder / "no").string();
  EXPECT_THAT(error_of([&] { read_corpus(missing); }), AllOf(HasSubstr(missing), HasSubstr("no such file")));
  EXPECT_THAT(error_of([&] { read_corpus((folder / "*.no").string()); }), HasSubstr("no file matches"));
  EXPECT_THAT(error_of([&] { read_corpus(folder.path()); }), HasSubstr("none of its 0 files"));
  EXPECT_THAT(error_of([&] { read_corpus(folder.write("empty", "")); }), HasSubstr("empty"));
  EXPECT_THAT(error_of([&] { read_corpus(folder.path()); }), HasSubstr("none of its 1 files"));
  EXPECT_THAT(error_of([&] { read_corpus("/dev/null"); }), HasSubstr("not a regular file"));
  for (const char* name :
       {"", "random:", "random:0", "random:-1", "random:1x", "random:99999999999999999999"})
    EXPECT_THAT(error_of([&] { read_corpus(name); }), HasSubstr("data.corpus")) << name;
}

TEST(Corpus, AFileWithoutPermissionIsOneLine) {
  const TemporaryFolder folder;
  const std::string file = folder.write("secret", "text");
  std::filesystem::permissions(file, std::filesystem::perms::none);
  if (::geteuid() == 0) GTEST_SKIP() << "root reads everything";
  EXPECT_THAT(error_of([&] { read_corpus(file); }), AllOf(HasSubstr(file), HasSubstr("Permission denied")));
}

/// Runs with another PATH and puts the old one back.
class WithPath {
 public:
  explicit WithPath(const std::string& path) : old_(std::getenv("PATH") ? std::getenv("PATH") : "") {
    ::setenv("PATH", path.c_str(), 1);
  }
  WithPath(const WithPath&) = delete;
  ~WithPath() { ::setenv("PATH", old_.c_str(), 1); }

 private:
  std::string old_;
};

TEST(Corpus, WithoutBibleTheLineSaysWhatToInstall) {
  const TemporaryFolder empty;
  const WithPath path(empty.path());
  EXPECT_THAT(error_of([] { read_corpus("kjv"); }),
              AllOf(HasSubstr("install bible-kjv"), HasSubstr("./fovea setup run")));
}

TEST(Corpus, ABibleThatFailsIsNoCorpus) {
  const TemporaryFolder folder;
  const std::string program = folder.write("bible", "#!/bin/sh\necho Ge1:1 In the beginning\nexit 3\n");
  std::filesystem::permissions(program, std::filesystem::perms::all);
  const WithPath path(folder.path());
  EXPECT_THAT(error_of([] { read_corpus("kjv"); }), HasSubstr("status 3"));
}

TEST(Corpus, KjvDocumentsAreChapters) {
  const TemporaryFolder folder;
  const std::string program =
      folder.write("bible", "#!/bin/sh\nprintf 'Ge1:1 a: b\\nGe1:2 c\\nGe2:1 d\\nEx2:1 e\\n'\n");
  std::filesystem::permissions(program, std::filesystem::perms::all);
  const WithPath path(folder.path());
  const Corpus corpus = read_corpus("kjv");
  EXPECT_EQ(corpus.text, "Ge1:1 a: b\nGe1:2 c\nGe2:1 d\nEx2:1 e\n");
  EXPECT_THAT(corpus.documents, ElementsAre(0, 19, 27));
}

TEST(Corpus, TheKingJamesBibleHasItsChapters) {
  if (std::system("bible -f gen1:1 >/dev/null 2>&1 </dev/null") != 0)
    GTEST_SKIP() << "the package bible-kjv is not installed";
  const Corpus corpus = read_corpus("kjv");
  EXPECT_EQ(corpus.documents.size(), 1189u);
  EXPECT_THAT(corpus.text, testing::StartsWith("Ge1:1 In the beginning God created"));
  EXPECT_GT(corpus.text.size(), 4'000'000u);
}

}  // namespace
}  // namespace fovea
