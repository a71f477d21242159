#include "data/token_span.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/error.h"

namespace fovea {
namespace {

static_assert(std::endian::native == std::endian::little, "token files are little-endian and read in place");

template <class F>
auto with_width(int64 width, F&& f) {
  switch (width) {
    case 1:
      return f.template operator()<std::uint8_t>();
    case 2:
      return f.template operator()<uint16>();
    default:
      return f.template operator()<uint32>();
  }
}

template <class T>
T token_at(std::span<const std::byte> tokens, int64 i) {
  T token;
  std::memcpy(&token, tokens.data() + static_cast<size_t>(i) * sizeof(T), sizeof(T));
  return token;
}

}  // namespace

uint32 TokenSpan::operator[](int64 i) const {
  FOVEA_CHECK(i >= 0 && i < size(), "token {} of {}", i, size());
  return with_width(width, [&]<class T>() -> uint32 { return token_at<T>(bytes, i); });
}

void TokenSpan::read(int64 begin, int64 count, int32* out) const {
  FOVEA_CHECK(begin >= 0 && count >= 0 && begin <= size() - count, "tokens [{}, {}) of {}", begin,
              begin + count, size());
  with_width(width, [&]<class T>() {
    for (int64 i = 0; i < count; ++i) out[i] = static_cast<int32>(token_at<T>(bytes, begin + i));
  });
}

uint32 TokenSpan::largest() const {
  return with_width(width, [&]<class T>() -> uint32 {
    T most = 0;
    for (int64 i = 0; i < size(); ++i) most = std::max(most, token_at<T>(bytes, i));
    return most;
  });
}

std::optional<int64> TokenSpan::first_beyond(int64 vocabulary) const {
  return with_width(width, [&]<class T>() -> std::optional<int64> {
    for (int64 i = 0; i < size(); ++i)
      if (token_at<T>(bytes, i) >= vocabulary) return i;
    return std::nullopt;
  });
}

int64 token_width(int64 vocabulary) { return vocabulary <= 1 << 8 ? 1 : vocabulary <= 1 << 16 ? 2 : 4; }

std::vector<std::byte> packed_tokens(std::span<const int32> tokens, int64 width) {
  std::vector<std::byte> bytes(tokens.size() * static_cast<size_t>(width));
  for (size_t i = 0; i < tokens.size(); ++i)
    std::memcpy(bytes.data() + i * static_cast<size_t>(width), &tokens[i], static_cast<size_t>(width));
  return bytes;
}

}  // namespace fovea
