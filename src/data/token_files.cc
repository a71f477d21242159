#include "data/token_files.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/error.h"
#include "core/hash.h"

namespace fovea {
namespace {

constexpr size_t kHeaderInts = 256, kHeaderBytes = kHeaderInts * sizeof(int32);
constexpr int64 kMaxVocabulary = int64{1} << 24;  // as data.vocab

/// What llm.c's dev/data/data_common.py writes.
struct Format {
  int32 magic, version;
  int64 width;
};
constexpr Format kFormats[] = {{20240520, 1, 2}, {20240801, 7, 4}};
/// llm.c's other files: models, states for debugging, evaluations.
constexpr int32 kOtherMagics[] = {20240326, 20240327, 20240522, 20240803};

int32 int_at(std::span<const std::byte> file, size_t index) {
  int32 value;
  std::memcpy(&value, file.data() + index * sizeof(value), sizeof(value));
  return value;
}

TokenSpan with_header(std::span<const std::byte> file, const Format& format, const std::string& path) {
  if (file.size() < kHeaderBytes)
    fail_input("{}: byte {}: the file ends within its header of {} bytes: it is truncated", path, file.size(),
               kHeaderBytes);
  const int32 version = int_at(file, 1), count = int_at(file, 2);
  if (version != format.version)
    fail_input("{}: byte 4: is a token file of version {}, wanted is version {}; write it again with llm.c",
               path, version, format.version);
  const auto width = static_cast<size_t>(format.width), payload = file.size() - kHeaderBytes;
  if (count < 0 || static_cast<size_t>(count) * width != payload)
    fail_input(
        "{}: byte 8: the header says {} tokens of {} bytes, {} bytes follow it: the file is truncated or too "
        "long",
        path, count, width, payload);
  return {file.subspan(kHeaderBytes), format.width};
}

TokenSpan tokens_of(std::span<const std::byte> file, const std::string& path) {
  const int32 magic = file.size() >= sizeof(int32) ? int_at(file, 0) : 0;
  for (const Format& format : kFormats)
    if (magic == format.magic) return with_header(file, format, path);
  if (std::find(std::begin(kOtherMagics), std::end(kOtherMagics), magic) != std::end(kOtherMagics))
    fail_input("{}: byte 0: is a file of llm.c (magic {}), but holds no token stream; name one that does",
               path, magic);
  if (file.size() % sizeof(uint16) != 0)
    fail_input("{}: byte {}: half a token: without llm.c's header tokens are uint16, but the size is odd",
               path, file.size() - 1);
  return {file, sizeof(uint16)};
}

}  // namespace

TokenFiles::TokenFiles(const std::vector<std::string>& paths, int64 vocabulary) : vocabulary_(vocabulary) {
  int64 largest = -1;
  for (const std::string& path : paths) {
    const MappedFile& file = files_.emplace_back(path);
    const TokenSpan part = tokens_of(file.bytes(), path);
    if (part.size() == 0) fail_input("{}: byte {}: there is no token in it", path, file.bytes().size());
    if (!parts_.empty() && part.width != token_bytes())
      fail_input("{}: has tokens of {} bytes, {} has tokens of {}; name files of one kind", path, part.width,
                 paths.front(), token_bytes());
    const int64 limit = vocabulary > 0 ? vocabulary : kMaxVocabulary;
    if (const auto beyond = part.first_beyond(limit))
      fail_input("{}: byte {}: token {} is {}, beyond {} of {}", path,
                 static_cast<int64>(file.bytes().size() - part.bytes.size()) + *beyond * part.width, *beyond,
                 part[*beyond], vocabulary > 0 ? "data.vocab" : "the largest vocabulary", limit);
    largest = std::max(largest, int64{part.largest()});
    parts_.push_back(part);
    ends_.push_back(tokens() + part.size());
  }
  if (vocabulary_ == 0) vocabulary_ = largest + 1;
}

std::string TokenFiles::hash() const {
  std::string hashes;
  for (const TokenSpan& part : parts_) hashes += hash128(part.bytes);
  return parts_.size() == 1 ? hashes : hash128(hashes);
}

void TokenFiles::read(int64 begin, int64 count, int32* out) const {
  FOVEA_CHECK(begin >= 0 && count >= 0 && begin <= tokens() - count, "tokens [{}, {}) of {}", begin,
              begin + count, tokens());
  auto part = static_cast<size_t>(std::upper_bound(ends_.begin(), ends_.end(), begin) - ends_.begin());
  for (int64 done = 0; done < count; ++part) {
    const int64 first = begin + done - (ends_[part] - parts_[part].size());
    const int64 n = std::min(count - done, parts_[part].size() - first);
    parts_[part].read(first, n, out + done);
    release_pages(parts_[part].bytes);
    done += n;
  }
}

}  // namespace fovea
