#include "data/dataset.h"

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>

#include "core/random.h"
#include "data/corpus.h"
#include "tests/data/helpers.h"

namespace fovea {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using Tokens = std::vector<int32>;

DataConfig config_in(const TemporaryFolder& folder, const std::string& corpus) {
  DataConfig config;
  config.corpus = corpus;
  config.cache = (folder / "cache").string();
  return config;
}

/// train_torch.py's split(), as it is written there: lists of whole blocks, blocks[::n] held out.
struct PeerSplit {
  Tokens train, held;
  PeerSplit(const std::string& text, int64 block, int64 every) {
    std::vector<std::string> blocks;
    for (int64 i = 0; i < static_cast<int64>(text.size()) - (block - 1); i += block)
      blocks.push_back(text.substr(static_cast<size_t>(i), static_cast<size_t>(block)));
    for (size_t i = 0; i < blocks.size(); ++i) {
      Tokens& side = i % static_cast<size_t>(every) ? train : held;
      for (const char c : blocks[i]) side.push_back(static_cast<unsigned char>(c));
    }
  }
};

Tokens slice(const Tokens& tokens, int64 begin, int64 count) {
  return {tokens.begin() + begin, tokens.begin() + begin + count};
}
Tokens row_of(const Tokens& all, int64 row, int64 T) { return slice(all, row * T, T); }

/// Every window that train_torch.py evaluates: range(0, len(held) - T, T), T + 1 tokens each.
void evaluates_like_the_peer(const Dataset& data, const Tokens& held, int64 T, int64 rows) {
  std::vector<int64> starts;
  for (int64 s = 0; s < static_cast<int64>(held.size()) - T; s += T) starts.push_back(s);
  const auto windows = static_cast<int64>(starts.size());
  ASSERT_EQ(data.evaluation_windows(T), windows);
  Batch batch;
  for (int64 first = 0; first < windows; first += rows) {
    data.evaluation_batch(first, rows, T, batch);
    for (int64 row = 0; row < rows; ++row) {
      const bool there = first + row < windows;
      const int64 start = there ? starts[static_cast<size_t>(first + row)] : 0;
      ASSERT_EQ(row_of(batch.tokens, row, T),
                there ? slice(held, start, T) : Tokens(static_cast<size_t>(T), 0));
      ASSERT_EQ(row_of(batch.targets, row, T),
                there ? slice(held, start + 1, T) : Tokens(static_cast<size_t>(T), kIgnoredTarget));
    }
    ASSERT_EQ(batch.scored, T * std::min(rows, windows - first));
  }
}

void matches_the_peer(const std::string& corpus) {
  const TemporaryFolder folder;
  const std::string text = read_corpus(corpus).text;
  const Dataset data = open_dataset(config_in(folder, corpus), 256);
  const PeerSplit peer(text, 4096, 20);
  ASSERT_EQ(data.train_tokens(), static_cast<int64>(peer.train.size()));
  ASSERT_EQ(data.held_out_tokens(), static_cast<int64>(peer.held.size()));
  ASSERT_EQ(data.held_out_bytes(), data.held_out_tokens());
  for (const int64 T : {1, 100, 256, 4096}) evaluates_like_the_peer(data, peer.held, T, 7);
  Batch batch;
  data.train_batch(3, 1000, 50, 256, batch);
  for (int64 row = 0; row < 50; ++row) {
    const RandomSequence order{3, RandomUse::data_order, 0};
    const auto start =
        static_cast<int64>(order.below(peer.train.size() - 256 - 1, static_cast<uint64>(1000 + row)));
    ASSERT_EQ(row_of(batch.tokens, row, 256), slice(peer.train, start, 256));
    ASSERT_EQ(row_of(batch.targets, row, 256), slice(peer.train, start + 1, 256));
  }
}

TEST(Dataset, SplitsAndEvaluatesLikeThePeer) { matches_the_peer("random:500000"); }

TEST(Dataset, SplitsTheKingJamesBibleLikeThePeer) {
  if (std::system("bible -f gen1:1 >/dev/null 2>&1 </dev/null") != 0)
    GTEST_SKIP() << "the package bible-kjv is not installed";
  matches_the_peer("kjv");
}

RC_GTEST_PROP(Dataset, SplitsLikeThePeerAtAnySize, ()) {
  const auto bytes = *rc::gen::inRange<int64>(40, 2000);
  const TemporaryFolder folder;
  DataConfig config = config_in(folder, "random:" + std::to_string(bytes));
  config.block_bytes = *rc::gen::inRange<int64>(1, 10);
  config.held_out_every = *rc::gen::inRange<int64>(2, 5);
  const PeerSplit peer(read_corpus(config.corpus).text, config.block_bytes, config.held_out_every);
  const auto T = *rc::gen::inRange<int64>(1, 12);
  RC_PRE(static_cast<int64>(peer.held.size()) > T && static_cast<int64>(peer.train.size()) > T + 1);
  evaluates_like_the_peer(open_dataset(config, T), peer.held, T, *rc::gen::inRange<int64>(1, 9));
}

TEST(Dataset, TrainingStartsAreUniformOverTheRangeThatThePeerDrawsFrom) {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 32; ++i) text += static_cast<char>(i);
  DataConfig config = config_in(folder, folder.write("a", text));
  config.block_bytes = 4;
  config.held_out_every = 4;  // trains on blocks 1, 2, 3 and 5, 6, 7
  const int64 T = 3, samples = 20000;
  const PeerSplit peer(text, 4, 4);
  Batch batch;
  open_dataset(config, T).train_batch(0, 0, samples, T, batch);
  std::map<int32, int64> count;
  for (int64 n = 0; n < samples; ++n) ++count[batch.tokens[static_cast<size_t>(n * T)]];
  // randint(0, len - T - 1): the upper end is excluded.
  const Tokens firsts = slice(peer.train, 0, static_cast<int64>(peer.train.size()) - T - 1);
  ASSERT_EQ(count.size(), firsts.size());
  for (const int32 first : firsts) EXPECT_NEAR(static_cast<double>(count[first]), 1000, 6 * 31) << first;
}

void append(Batch& all, const Batch& part) {
  all.documents.pop_back();
  for (const int64 bound : part.documents) all.documents.push_back(all.rows * all.length + bound);
  all.tokens.insert(all.tokens.end(), part.tokens.begin(), part.tokens.end());
  all.targets.insert(all.targets.end(), part.targets.begin(), part.targets.end());
  all.positions.insert(all.positions.end(), part.positions.begin(), part.positions.end());
  all.rows += part.rows;
  all.scored += part.scored;
}

void expect_equal(const Batch& a, const Batch& b) {
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_EQ(a.length, b.length);
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.targets, b.targets);
  EXPECT_EQ(a.positions, b.positions);
  EXPECT_EQ(a.documents, b.documents);
  EXPECT_EQ(a.scored, b.scored);
}

/// Paragraphs of 0 to 60 bytes.
std::string paragraphs() {
  const RandomSequence random{1, RandomUse::synthetic, 9};
  std::string text;
  for (uint64 n = 0; n < 300; ++n)
    text += std::string(random.below(60, n), static_cast<char>('a' + n % 26)) + "\n\n";
  return text;
}

RC_GTEST_PROP(Dataset, ABatchIsTheSameHoweverItIsCut, ()) {
  const TemporaryFolder folder;
  DataConfig config = config_in(folder, folder.write("a", paragraphs()));
  config.documents = true;
  config.block_bytes = 100;
  const Dataset data = open_dataset(config, 40);
  const auto seed = *rc::gen::arbitrary<uint64>();
  const auto first = *rc::gen::inRange<int64>(0, int64{1} << 40);
  const auto cuts = *rc::gen::nonEmpty(rc::gen::container<std::vector<int64>>(rc::gen::inRange<int64>(0, 5)));
  int64 rows = 0;
  for (const int64 n : cuts) rows += n;
  Batch whole, part, train, held;
  train.length = held.length = 40;
  train.documents = held.documents = {0};
  for (const int64 n : cuts) {
    data.evaluation_batch(held.rows, n, 40, part);
    append(held, part);
    data.train_batch(seed, first + train.rows, n, 40, part);
    append(train, part);
  }
  data.train_batch(seed, first, rows, 40, whole);
  expect_equal(whole, train);
  data.evaluation_batch(0, rows, 40, whole);
  expect_equal(whole, held);
  RC_ASSERT(!testing::Test::HasFailure());
}

TEST(Dataset, SeedsDrawOtherOrders) {
  const TemporaryFolder folder;
  const Dataset data = open_dataset(config_in(folder, "random:100000"), 64);
  Batch a, b, again;
  data.train_batch(1, 0, 4, 64, a);
  data.train_batch(2, 0, 4, 64, b);
  data.train_batch(1, 0, 4, 64, again);
  EXPECT_NE(a.tokens, b.tokens);
  EXPECT_EQ(a.tokens, again.tokens);
}

TEST(Dataset, WithoutDocumentsPositionsCountTheRow) {
  const TemporaryFolder folder;
  const Dataset data = open_dataset(config_in(folder, "random:100000"), 3);
  Batch batch;
  data.train_batch(0, 0, 2, 3, batch);
  EXPECT_THAT(batch.positions, ElementsAre(0, 1, 2, 0, 1, 2));
  EXPECT_TRUE(batch.documents.empty());
  EXPECT_EQ(batch.scored, 6);
}

TEST(Dataset, DocumentsRestartPositionsAndScoreNothingAcrossTheirBounds) {
  const TemporaryFolder folder;
  folder.write("c/1", "ABCDE");
  folder.write("c/2", "FG");
  folder.write("c/3", "HIJKLMNOPQRSTUVWXYZ");
  DataConfig config = config_in(folder, (folder / "c").string());
  config.documents = true;
  config.block_bytes = 9;
  config.held_out_every = 2;  // held out: ABCDEFGHI
  const Dataset data = open_dataset(config, 4);
  Batch batch;
  data.evaluation_batch(0, 3, 4, batch);
  EXPECT_EQ(data.evaluation_windows(4), 2);
  EXPECT_EQ(batch.tokens, Tokens({'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 0, 0, 0, 0}));
  EXPECT_EQ(batch.targets, Tokens({'B', 'C', 'D', 'E', -1, 'G', -1, 'I', -1, -1, -1, -1}));
  EXPECT_THAT(batch.positions, ElementsAre(0, 1, 2, 3, 0, 0, 1, 0, 0, 1, 2, 3));
  EXPECT_THAT(batch.documents, ElementsAre(0, 4, 5, 7, 8, 12));
  EXPECT_EQ(batch.scored, 6);
}

/// What the words of dataset.h say, for one batch, from the documents of each token and the next.
void check_documents(const Batch& batch, const std::vector<int64>& owner, const std::vector<int64>& begins) {
  const int64 T = batch.length;
  std::vector<int64> bounds;
  int64 scored = 0;
  for (int64 row = 0; row < batch.rows; ++row) {
    int32 position = 0;
    for (int64 t = 0; t < T; ++t) {
      const auto here = static_cast<size_t>(begins[static_cast<size_t>(row)] + t);
      const bool first = t == 0 || owner[here] != owner[here - 1];
      position = first ? 0 : position + 1;
      if (first) bounds.push_back(row * T + t);
      const auto at = static_cast<size_t>(row * T + t);
      const bool last = owner[here + 1] != owner[here];
      ASSERT_EQ(batch.positions[at], position) << row << ", " << t;
      ASSERT_EQ(batch.targets[at] == kIgnoredTarget, last) << row << ", " << t;
      scored += !last;
    }
  }
  bounds.push_back(batch.rows * T);
  ASSERT_EQ(batch.documents, bounds);
  ASSERT_EQ(batch.scored, scored);
}

RC_GTEST_PROP(Dataset, DocumentsAreMaskedAsTheRuleSays, ()) {
  const TemporaryFolder folder;
  const std::string text = paragraphs();
  DataConfig config = config_in(folder, folder.write("a", text));
  config.documents = true;
  config.block_bytes = *rc::gen::inRange<int64>(1, 200);
  config.held_out_every = *rc::gen::inRange<int64>(2, 6);
  const auto T = *rc::gen::inRange<int64>(1, 50);
  const Dataset data = open_dataset(config, T);
  // A document here is a paragraph's run of whole blocks of one side: no text between them is missing.
  std::set<int64> starts;
  for (const int64 start : read_corpus(config.corpus).documents) starts.insert(start);
  std::vector<int64> train, held;
  int64 document = 0;
  const int64 whole = static_cast<int64>(text.size()) / config.block_bytes * config.block_bytes;
  for (int64 i = 0; i < whole; ++i) {
    const int64 block = i / config.block_bytes;
    const bool first = i % config.block_bytes == 0;
    const bool is_held = block % config.held_out_every == 0;
    const bool side_changes = first && (is_held || block % config.held_out_every == 1);
    document += starts.contains(i) || side_changes;
    (is_held ? held : train).push_back(document);
  }
  Batch batch;
  const auto first_window = *rc::gen::inRange<int64>(0, data.evaluation_windows(T));
  const int64 rows = std::min<int64>(5, data.evaluation_windows(T) - first_window);
  std::vector<int64> begins;
  for (int64 row = 0; row < rows; ++row) begins.push_back((first_window + row) * T);
  data.evaluation_batch(first_window, rows, T, batch);
  check_documents(batch, held, begins);

  const auto seed = *rc::gen::arbitrary<uint64>();
  const RandomSequence order{seed, RandomUse::data_order, 0};
  begins.clear();
  for (uint64 row = 0; row < 5; ++row)
    begins.push_back(static_cast<int64>(order.below(train.size() - static_cast<size_t>(T) - 1, row)));
  data.train_batch(seed, 0, 5, T, batch);
  check_documents(batch, train, begins);
  RC_ASSERT(!testing::Test::HasFailure());
}

TEST(Dataset, PaddedRowsAreDocumentsOfTheirOwn) {
  const TemporaryFolder folder;
  DataConfig config = config_in(folder, "random:100000");
  config.documents = true;
  const Dataset data = open_dataset(config, 8);
  Batch batch;
  data.evaluation_batch(data.evaluation_windows(8), 3, 8, batch);
  EXPECT_THAT(batch.documents, ElementsAre(0, 8, 16, 24));
  EXPECT_EQ(batch.scored, 0);
  EXPECT_THAT(batch.targets, testing::Each(kIgnoredTarget));
}

TEST(Dataset, ACorpusTooShortSaysHowLongItMustBe) {
  const TemporaryFolder folder;
  // Blocks of 4096, two of them: 4096 held out, 4096 to train on.
  const DataConfig config = config_in(folder, "random:9000");
  open_dataset(config, 4094);
  EXPECT_THAT(error_of([&] { open_dataset(config, 4095); }),
              AllOf(HasSubstr("random:9000"), HasSubstr("4097 to train on"), HasSubstr("4096 of its 9000")));
  EXPECT_THAT(error_of([&] { open_dataset(config_in(folder, "random:4095"), 1); }), HasSubstr("too short"));
  DataConfig small = config_in(folder, "random:1000");
  small.block_bytes = 10;  // 50 tokens held out
  open_dataset(small, 49);
  EXPECT_THAT(error_of([&] { open_dataset(small, 50); }),
              AllOf(HasSubstr("51 held out"), HasSubstr("50 of")));
  const Dataset data = open_dataset(small, 49);
  Batch batch;
  EXPECT_THAT(error_of([&] { data.train_batch(0, 0, 1, 949, batch); }), HasSubstr("too short"));
  EXPECT_EQ(data.evaluation_windows(50), 0);
}

TEST(Dataset, ValuesOutOfRangeAreUsageErrors) {
  const TemporaryFolder folder;
  DataConfig config = config_in(folder, "random");
  config.tokenizer = "bpe";
  EXPECT_THAT(error_of([&] { open_dataset(config, 8); }), HasSubstr("no such tokenizer; say bytes"));
  config.tokenizer = "bytes";
  config.held_out_every = 1;
  EXPECT_THAT(error_of([&] { open_dataset(config, 8); }, ExitCode::usage), HasSubstr("held_out_every"));
  config.held_out_every = 20;
  config.block_bytes = 0;
  EXPECT_THAT(error_of([&] { open_dataset(config, 8); }, ExitCode::usage), HasSubstr("block_bytes"));
}

std::vector<std::filesystem::path> shards_in(const DataConfig& config) {
  std::vector<std::filesystem::path> shards;
  for (const auto& entry : std::filesystem::directory_iterator(config.cache)) shards.push_back(entry.path());
  return shards;
}

TEST(Dataset, TheShardIsMadeOnceAndUsedAgain) {
  const TemporaryFolder folder;
  const DataConfig config = config_in(folder, "random:100000");
  open_dataset(config, 8);
  ASSERT_EQ(shards_in(config).size(), 1u);
  const auto shard = shards_in(config).front();
  std::filesystem::permissions(shard, std::filesystem::perms::owner_read);
  const auto written = std::filesystem::last_write_time(shard);
  open_dataset(config, 16);
  EXPECT_EQ(shards_in(config).size(), 1u);
  EXPECT_EQ(std::filesystem::last_write_time(shard), written);
}

TEST(Dataset, AnAlteredOrForeignShardIsOneLineAndDeletingItMends) {
  const TemporaryFolder folder;
  const DataConfig config = config_in(folder, "random:100000"), other = config_in(folder, "random:100001");
  open_dataset(config, 8);
  const auto shard = shards_in(config).front();
  std::string bytes = read_file(shard);
  bytes[5000] = static_cast<char>(bytes[5000] + 1);
  write_file_atomically(shard, bytes);
  EXPECT_THAT(error_of([&] { open_dataset(config, 8); }),
              AllOf(HasSubstr(shard.string()), HasSubstr("altered")));
  std::filesystem::remove(shard);
  open_dataset(config, 8);
  EXPECT_EQ(shards_in(config).front(), shard);

  std::filesystem::remove(shard);
  open_dataset(other, 8);
  std::filesystem::rename(shards_in(other).front(), shard);
  EXPECT_THAT(error_of([&] { open_dataset(config, 8); }), HasSubstr("another corpus"));
}

TEST(Dataset, ACacheThatCannotBeMadeIsAFailure) {
  const TemporaryFolder folder;
  DataConfig config = config_in(folder, "random:100000");
  config.cache = folder.write("file", "x") + "/cache";
  EXPECT_THAT(error_of([&] { open_dataset(config, 8); }, ExitCode::failed), HasSubstr("data.cache"));
}

TEST(Dataset, TheFingerprintNamesTokensAndSplitAlone) {
  const TemporaryFolder folder;
  const std::string text = paragraphs();
  const DataConfig config = config_in(folder, folder.write("a", text));
  const auto fingerprint = [&](auto change) {
    DataConfig changed = config;
    change(changed);
    return open_dataset(changed, 8).fingerprint();
  };
  const std::string same = fingerprint([](DataConfig&) {});
  EXPECT_EQ(same.size(), 32u);
  EXPECT_EQ(same, fingerprint([&](DataConfig& c) { c.corpus = folder.write("b", text); }));
  EXPECT_EQ(same, fingerprint([&](DataConfig& c) { c.cache += "2"; }));
  std::set<std::string> all{same};
  all.insert(fingerprint([](DataConfig& c) { c.block_bytes = 100; }));
  all.insert(fingerprint([](DataConfig& c) { c.held_out_every = 2; }));
  all.insert(fingerprint([](DataConfig& c) { c.documents = true; }));
  std::string altered = text;
  altered.back() = '!';
  all.insert(fingerprint([&](DataConfig& c) { c.corpus = folder.write("c", altered); }));
  EXPECT_EQ(all.size(), 5u);
}

TEST(Dataset, DescribesItselfInOneLine) {
  const TemporaryFolder folder;
  const std::string line = describe(open_dataset(config_in(folder, "random:100000"), 8));
  EXPECT_THAT(line, AllOf(HasSubstr("random:100000"), HasSubstr("100000 tokens"), HasSubstr("8192 held out"),
                          HasSubstr("90112 to train on"), HasSubstr("every 20th block of 4096"),
                          Not(HasSubstr("\n"))));
}

}  // namespace
}  // namespace fovea
