#include "data/dataset.h"

#include <algorithm>
#include <filesystem>
#include <mutex>

#include "core/error.h"
#include "core/hash.h"
#include "core/random.h"
#include "data/corpus.h"
#include "data/token_span.h"
#include "data/tokenized_text.h"
#include "tokenizer/tokenizer.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

/// What a shard is made from, and so its name: the same text cut and tokenised alike.
std::string source_of(const Corpus& corpus, const Tokenizer& tokenizer, int64 block_bytes) {
  const std::string text = hash128(std::string_view(corpus.text)),
                    documents = hash128(std::as_bytes(std::span(corpus.documents)));
  if (tokenizer.is_bytes()) return hash128(fmt::format("{} {} {}", tokenizer.content(), text, documents));
  // Whose tokens do not say which byte they begin at: the shard knows the blocks of one size alone.
  return hash128(fmt::format("{} {} {} {}", tokenizer.content(), text, documents, block_bytes));
}

void write_bytes(const fs::path& path, const Corpus& corpus, uint64 source) {
  write_shard(path, {.vocabulary = 256,
                     .token_bytes = 1,
                     .source = source,
                     .tokens = std::as_bytes(std::span(corpus.text)),
                     .documents = corpus.documents});
}

void write_tokens(const fs::path& path, const Corpus& corpus, const Tokenizer& tokenizer, int64 block_bytes,
                  uint64 source) {
  const TokenizedText text = tokenize(corpus, tokenizer, block_bytes);
  if (text.tokens.empty())
    fail_input("data.corpus = \"{}\": the tokenizer {} makes no token of it", corpus.name, tokenizer.name());
  const int64 width = token_width(tokenizer.vocabulary());
  write_shard(path, {.vocabulary = tokenizer.vocabulary(),
                     .token_bytes = width,
                     .source = source,
                     .tokens = packed_tokens(text.tokens, width),
                     .documents = text.documents,
                     .blocks = text.blocks});
}

Shard cached_shard(const Corpus& corpus, const Tokenizer& tokenizer, const DataConfig& config) {
  // Runs side by side in one process would write the same temporary file.
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);

  const fs::path cache = config.cache;
  const std::string source = source_of(corpus, tokenizer, config.block_bytes);
  const uint64 source_bits = hash64(std::as_bytes(std::span(source)));
  const fs::path path = cache / (source + ".shard");
  std::error_code error;
  if (!fs::exists(path, error)) {
    fs::create_directories(cache, error);
    if (error)
      fail_run("data.cache = \"{}\": the folder cannot be made: {}", cache.string(), error.message());
    if (tokenizer.is_bytes())
      write_bytes(path, corpus, source_bits);
    else
      write_tokens(path, corpus, tokenizer, config.block_bytes, source_bits);
  }
  Shard shard(path);
  if (shard.source() != source_bits)
    fail_input("{}: is the token shard of another corpus; delete it: it is made again", path.string());
  return shard;
}

void check(const DataConfig& config) {
  if (config.held_out_every < 2)
    fail_usage("data.held_out_every = {}: must be at least 2, or nothing is left to train on",
               config.held_out_every);
  if (config.block_bytes < 1) fail_usage("data.block_bytes = {}: must be at least 1", config.block_bytes);
}

Tokenizer tokenizer_of(const DataConfig& config) {
  Tokenizer tokenizer = open_tokenizer(config.tokenizer);
  if (config.vocab != 0)
    fail_usage("data.vocab = {}: is for .bin token files; {} is text, of which \"{}\" makes {} tokens",
               config.vocab, config.corpus, tokenizer.name(), tokenizer.vocabulary());
  return tokenizer;
}

TokenFiles opened(const std::vector<std::string>& files, const DataConfig& config) {
  if (config.documents)
    fail_usage("data.documents = true: {} does not say where its documents begin; leave it false",
               config.corpus);
  TokenFiles tokens(files, config.vocab);
  if (config.block_bytes % tokens.token_bytes() != 0)
    fail_usage("data.block_bytes = {}: must be a multiple of {}, the bytes of a token of {}",
               config.block_bytes, tokens.token_bytes(), config.corpus);
  return tokens;
}

/// What the identity of a run sees of its data.
std::string fingerprint_of(const Shard& shard, const DataConfig& config, const Tokenizer& tokenizer) {
  const std::string documents =
      config.documents ? hash128(std::as_bytes(std::span(shard.documents()))) : "none";
  const std::string text = fmt::format("{} {} {} {} {}", shard.vocabulary(), hash128(shard.token_bytes()),
                                       config.block_bytes, config.held_out_every, documents);
  if (tokenizer.is_bytes()) return hash128(text);
  return hash128(
      fmt::format("{} {} {}", text, tokenizer.content(), hash128(std::as_bytes(std::span(shard.blocks())))));
}

std::string fingerprint_of(const TokenFiles& tokens, const DataConfig& config, const Tokenizer&) {
  return hash128(fmt::format("tokens {} {} {} {}", tokens.vocabulary(), tokens.hash(), config.block_bytes,
                             config.held_out_every));
}

std::string size_of(const Shard& shard, const DataConfig& config) {
  const std::string of = shard.blocks().empty() ? "" : fmt::format(", vocabulary of {}", shard.vocabulary());
  return fmt::format("{} tokens ({}{}), {} documents{}", shard.tokens(), config.tokenizer, of,
                     shard.documents().size(), config.documents ? ", masked from each other" : "");
}

std::string size_of(const TokenFiles& tokens, const DataConfig&) {
  return fmt::format("{} tokens (uint{}) of {} in {} file{}", tokens.tokens(), 8 * tokens.token_bytes(),
                     tokens.vocabulary(), tokens.files(), tokens.files() == 1 ? "" : "s");
}

}  // namespace

void Dataset::check_length(int64 T) const {
  FOVEA_CHECK(T >= 1, "windows of {} tokens", T);
  // One more than a window and its last target: train_torch draws below train_tokens - T - 1.
  if (train_.tokens() - T < 2)
    fail_input(
        "data.corpus = \"{}\": too short: windows of {} tokens need {} to train on, {} of its {} "
        "tokens are; use a longer corpus, a shorter context or smaller data.block_bytes (now {})",
        config_.corpus, T, T + 2, train_.tokens(), tokens(), config_.block_bytes);
}

void Dataset::check_windows(int64 T) const {
  if (evaluation_windows(T) < 1)
    fail_input(
        "data.corpus = \"{}\": too short: windows of {} tokens need {} held out, {} of its {} tokens are; "
        "use a longer corpus, a shorter context or smaller data.held_out_every (now {})",
        config_.corpus, T, T + 1, held_out_tokens(), tokens(), config_.held_out_every);
}

void Dataset::mark_documents(const Stream& stream, int64 begin, int64 row, Batch& out) const {
  const int64 T = out.length;
  out.documents.push_back(row * T);
  const auto& starts = stream.document_starts;
  auto next = std::upper_bound(starts.begin(), starts.end(), begin);
  for (; next != starts.end() && *next - begin <= T; ++next) {
    const int64 at = *next - begin;  // the document's first token in this row, or the one after the row
    out.targets[static_cast<size_t>(row * T + at - 1)] = kIgnoredTarget;
    --out.scored;
    if (at == T) break;
    out.documents.push_back(row * T + at);
    for (int64 t = at; t < T; ++t)
      out.positions[static_cast<size_t>(row * T + t)] = static_cast<int32>(t - at);
  }
}

void Dataset::read_row(const Stream& stream, int64 begin, int64 row, Batch& out) const {
  const int64 T = out.length;
  int32* tokens = out.tokens.data() + row * T;
  int32* targets = out.targets.data() + row * T;
  for (int64 t = 0; t < T;) {
    const Range source = stream.split.source(begin + t);
    const int64 n = std::min(source.size(), T - t);
    read(source.begin, n, tokens + t);
    t += n;
  }
  std::copy(tokens + 1, tokens + T, targets);
  read(stream.split.source(begin + T).begin, 1, targets + T - 1);
  out.scored += T;
  if (config_.documents) mark_documents(stream, begin, row, out);
}

namespace {

void resize(Batch& batch, int64 rows, int64 T) {
  FOVEA_CHECK(rows >= 0 && T >= 1, "a batch of {} rows of {}", rows, T);
  const auto n = static_cast<size_t>(rows * T);
  batch.rows = rows;
  batch.length = T;
  batch.tokens.assign(n, 0);
  batch.targets.assign(n, kIgnoredTarget);
  batch.positions.resize(n);
  for (int64 i = 0; i < rows * T; ++i) batch.positions[static_cast<size_t>(i)] = static_cast<int32>(i % T);
  batch.documents.clear();
  batch.scored = 0;
}

}  // namespace

void Dataset::train_batch(uint64 seed, int64 first_sample, int64 rows, int64 T, Batch& out) const {
  check_length(T);
  FOVEA_CHECK(first_sample >= 0, "sample {}", first_sample);
  resize(out, rows, T);
  const RandomSequence order{seed, RandomUse::data_order, 0};
  const auto starts = static_cast<uint64>(train_.tokens() - T - 1);
  for (int64 row = 0; row < rows; ++row) {
    const uint64 begin = order.below(starts, static_cast<uint64>(first_sample + row));
    read_row({train_, train_documents_}, static_cast<int64>(begin), row, out);
  }
  if (config_.documents) out.documents.push_back(rows * T);
}

int64 Dataset::evaluation_windows(int64 T) const {
  FOVEA_CHECK(T >= 1, "windows of {} tokens", T);
  // The last token has no token after it, so it is no window's first.
  return std::max<int64>(0, held_out_.tokens() - 1) / T;
}

void Dataset::evaluation_batch(int64 first_window, int64 rows, int64 T, Batch& out) const {
  FOVEA_CHECK(first_window >= 0, "window {}", first_window);
  const int64 windows = evaluation_windows(T);
  resize(out, rows, T);
  for (int64 row = 0; row < rows; ++row) {
    if (first_window + row < windows)
      read_row({held_out_, held_out_documents_}, (first_window + row) * T, row, out);
    else if (config_.documents)
      out.documents.push_back(row * T);
  }
  if (config_.documents) out.documents.push_back(rows * T);
}

namespace {

Blocks blocks_of(const Shard& shard, int64 block_bytes) {
  return shard.blocks().empty() ? Blocks::uniform(shard.tokens(), block_bytes)
                                : Blocks::between(shard.blocks());
}
Blocks blocks_of(const TokenFiles& tokens, int64 block_bytes) {
  return Blocks::uniform(tokens.tokens(), block_bytes / tokens.token_bytes());
}

std::string block_size(const Shard& shard, int64 block_bytes) {
  return fmt::format("{}{}", block_bytes, shard.blocks().empty() ? "" : " bytes");
}
std::string block_size(const TokenFiles& tokens, int64 block_bytes) {
  return fmt::format("{}", block_bytes / tokens.token_bytes());
}

}  // namespace

Dataset open_dataset(const DataConfig& config, int64 context) {
  check(config);
  Dataset data;
  data.config_ = config;
  if (const std::vector<std::string> files = token_files(config.corpus); !files.empty()) {
    data.tokens_ = opened(files, config);
  } else {
    data.tokenizer_ = tokenizer_of(config);
    data.tokens_ = cached_shard(read_corpus(config.corpus), data.tokenizer_, config);
  }
  const Blocks blocks =
      std::visit([&](const auto& tokens) { return blocks_of(tokens, config.block_bytes); }, data.tokens_);
  data.train_ = Split(Split::Side::train, blocks, config.held_out_every);
  data.held_out_ = Split(Split::Side::held_out, blocks, config.held_out_every);
  data.check_length(context);
  data.check_windows(context);
  if (config.documents) {
    const std::vector<int64>& documents = std::get<Shard>(data.tokens_).documents();
    data.train_documents_ = data.train_.document_starts(documents);
    data.held_out_documents_ = data.held_out_.document_starts(documents);
  }
  data.fingerprint_ = std::visit(
      [&](const auto& tokens) { return fingerprint_of(tokens, config, data.tokenizer_); }, data.tokens_);
  return data;
}

int64 vocabulary_of(const DataConfig& config) {
  const std::vector<std::string> files = token_files(config.corpus);
  if (files.empty()) return tokenizer_of(config).vocabulary();
  return config.vocab > 0 ? config.vocab : TokenFiles(files, 0).vocabulary();
}

std::string describe_vocabulary(const DataConfig& config) {
  const bool text = token_files(config.corpus).empty();
  return fmt::format("{}, {}", vocabulary_of(config), text ? config.tokenizer : "token files");
}

std::string describe(const Dataset& dataset) {
  const DataConfig& config = dataset.config_;
  const std::string block =
      std::visit([&](const auto& tokens) { return block_size(tokens, config.block_bytes); }, dataset.tokens_);
  return fmt::format("{}: {}; {} to train on, {} held out (every {}th block of {})", config.corpus,
                     std::visit([&](const auto& tokens) { return size_of(tokens, config); }, dataset.tokens_),
                     dataset.train_tokens(), dataset.held_out_tokens(), config.held_out_every, block);
}

}  // namespace fovea
