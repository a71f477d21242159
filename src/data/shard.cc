#include "data/shard.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>

#include "core/error.h"
#include "core/hash.h"

namespace fovea {
namespace {

constexpr char kMagic[8] = {'f', 'o', 'v', 'e', 'a', 's', 'h', 'd'};
constexpr uint32 kBytes = 1, kBlocks = 2;         // versions: tokens are bytes, or blocks of text are listed
constexpr int64 kMaxVocabulary = int64{1} << 31;  // tokens are handed out as i32

struct Header {
  char magic[8];
  uint32 version;
  uint32 token_bytes;
  uint64 vocabulary;
  uint64 tokens;
  uint64 documents;
  uint64 source;
  uint64 payload_checksum;
  uint64 header_checksum;  // of the bytes before it
};
static_assert(sizeof(Header) == 64 && std::is_trivially_copyable_v<Header>);

uint64 checksum(const Header& header) {
  return hash64(std::as_bytes(std::span(&header, 1)).first(offsetof(Header, header_checksum)));
}

/// Numbers of the table of blocks: how many follow, and they; 0 where there is none.
uint64 block_bounds(const Header& header, std::span<const std::byte> file) {
  if (header.version == kBytes) return 0;
  uint64 count = 0;
  if (file.size() < sizeof(header) + sizeof count) return ~uint64{0};
  std::memcpy(&count, file.data() + sizeof(header), sizeof count);
  return count < ~uint64{0} ? count + 1 : count;
}

/// The header, when the file's sizes and checksums agree with it.
Header checked_header(std::span<const std::byte> file, const std::string& path) {
  const char* mend = "delete it: it is made again from its corpus";
  Header header;
  if (file.size() < sizeof(header))
    fail_input("{}: a token shard begins with {} bytes, the file has {}; {}", path, sizeof(header),
               file.size(), mend);
  std::memcpy(&header, file.data(), sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0)
    fail_input("{}: is not a token shard (it does not begin with \"foveashd\"); {}", path, mend);
  if (header.version != kBytes && header.version != kBlocks)
    fail_input("{}: is a token shard of version {}, this program reads versions {} and {}; {}", path,
               header.version, kBytes, kBlocks, mend);
  if (header.header_checksum != checksum(header))
    fail_input("{}: the token shard's header was altered (checksum {:016x}, expected {:016x}); {}", path,
               checksum(header), header.header_checksum, mend);
  const uint64 width = header.token_bytes, payload = file.size() - sizeof(header);
  if (width != 1 && width != 2 && width != 4)
    fail_input("{}: has tokens of {} bytes, not 1, 2 or 4; {}", path, width, mend);
  if (header.vocabulary < 1 || header.vocabulary > uint64{kMaxVocabulary})
    fail_input("{}: has a vocabulary of {}, not 1 to {}; {}", path, header.vocabulary, kMaxVocabulary, mend);
  // Quotients, so that no size that a header can claim overflows.
  const uint64 bounds = block_bounds(header, file), room = payload / sizeof(uint64);
  const bool documents_fit = bounds <= room && header.documents <= room - bounds;
  const uint64 left = documents_fit ? payload - (header.documents + bounds) * sizeof(uint64) : 0;
  if (!documents_fit || left % width != 0 || header.tokens != left / width)
    fail_input(
        "{}: is truncated or too long: {} bytes are not a header, {} documents{} and {} tokens of {} "
        "bytes; {}",
        path, file.size(), header.documents, bounds > 0 ? fmt::format(", {} bounds of blocks", bounds) : "",
        header.tokens, width, mend);
  const uint64 found = hash64(file.subspan(sizeof(header)));
  if (found != header.payload_checksum)
    fail_input("{}: the token shard was altered (checksum {:016x}, expected {:016x}); {}", path, found,
               header.payload_checksum, mend);
  return header;
}

std::vector<int64> checked_documents(std::span<const std::byte> table, int64 tokens,
                                     const std::string& path) {
  std::vector<int64> documents(table.size() / sizeof(int64));
  if (!table.empty()) std::memcpy(documents.data(), table.data(), table.size());
  for (size_t n = 0; n < documents.size(); ++n) {
    const bool climbs = n == 0 ? documents[n] == 0 : documents[n] > documents[n - 1];
    if (!climbs || documents[n] >= tokens)
      fail_input(
          "{}: document {} begins at token {} of {}: documents must climb from 0; make the shard again", path,
          n, documents[n], tokens);
  }
  if (documents.empty()) fail_input("{}: has no document; make the shard again", path);
  return documents;
}

std::vector<int64> checked_blocks(std::span<const std::byte> table, int64 tokens, const std::string& path) {
  if (table.empty()) return {};
  const auto numbers = table.subspan(sizeof(uint64));
  std::vector<int64> blocks(numbers.size() / sizeof(int64));
  if (!numbers.empty()) std::memcpy(blocks.data(), numbers.data(), numbers.size());
  int64 latest = 0;
  for (size_t n = 0; n < blocks.size(); ++n) {
    if (blocks[n] < latest || blocks[n] > tokens)
      fail_input("{}: block {} begins at token {} of {}: blocks must not fall; make the shard again", path, n,
                 blocks[n], tokens);
    latest = blocks[n];
  }
  if (blocks.empty()) fail_input("{}: has an empty table of blocks; make the shard again", path);
  return blocks;
}

void check_tokens(const TokenSpan& tokens, int64 vocabulary, const std::string& path) {
  if (const auto i = tokens.first_beyond(vocabulary))
    fail_input("{}: token {} is {}, beyond the vocabulary of {}; make the shard again with its tokenizer",
               path, *i, tokens[*i], vocabulary);
}

}  // namespace

void write_shard(const std::filesystem::path& path, const ShardContent& content) {
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.version = content.blocks.empty() ? kBytes : kBlocks;
  header.token_bytes = static_cast<uint32>(content.token_bytes);
  header.vocabulary = static_cast<uint64>(content.vocabulary);
  header.tokens = content.tokens.size() / static_cast<size_t>(content.token_bytes);
  header.documents = content.documents.size();
  header.source = content.source;

  std::vector<std::byte> file(sizeof(header));
  const auto append = [&](std::span<const std::byte> part) {
    file.insert(file.end(), part.begin(), part.end());
  };
  const uint64 bounds = content.blocks.size();
  file.reserve(sizeof(header) + (1 + bounds + header.documents) * sizeof(uint64) + content.tokens.size());
  if (bounds > 0) {
    append(std::as_bytes(std::span(&bounds, 1)));
    append(std::as_bytes(content.blocks));
  }
  append(std::as_bytes(content.documents));
  append(content.tokens);
  header.payload_checksum = hash64(std::span(file).subspan(sizeof(header)));
  header.header_checksum = checksum(header);
  std::memcpy(file.data(), &header, sizeof(header));
  write_file_atomically(path, std::span<const std::byte>(file));
}

Shard::Shard(const std::filesystem::path& path) : file_(path) {
  const std::string name = path.string();
  const Header header = checked_header(file_.bytes(), name);
  vocabulary_ = static_cast<int64>(header.vocabulary);
  source_ = header.source;
  const size_t bounds = block_bounds(header, file_.bytes()) * sizeof(uint64);
  const auto blocks = file_.bytes().subspan(sizeof(header), bounds);
  const auto payload = file_.bytes().subspan(sizeof(header) + bounds);
  const size_t table = header.documents * sizeof(uint64);
  const auto tokens = static_cast<int64>(header.tokens);
  blocks_ = checked_blocks(blocks, tokens, name);
  documents_ = checked_documents(payload.first(table), tokens, name);
  tokens_ = {payload.subspan(table), header.token_bytes};
  check_tokens(tokens_, vocabulary_, name);
}

}  // namespace fovea
