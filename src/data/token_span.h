#pragma once

#include <optional>
#include <span>
#include <vector>

#include "core/types.h"

namespace fovea {

/// Tokens as files hold them: unsigned little-endian integers of one width, laid end to end in memory that
/// somebody else owns.
struct TokenSpan {
  std::span<const std::byte> bytes;  ///< (size, width)
  int64 width = 1;                   ///< bytes of a token: 1, 2 or 4

  int64 size() const { return static_cast<int64>(bytes.size()) / width; }
  uint32 operator[](int64 i) const;
  /// Tokens [begin, begin + count) into out; they must be below 2^31.
  void read(int64 begin, int64 count, int32* out) const;
  uint32 largest() const;  ///< 0 where there is none
  /// The first token that is not below `vocabulary`.
  std::optional<int64> first_beyond(int64 vocabulary) const;
};

/// Bytes that a token of such a vocabulary needs: 1, 2 or 4.
int64 token_width(int64 vocabulary);
/// Tokens in this width.
std::vector<std::byte> packed_tokens(std::span<const int32> tokens, int64 width);

}  // namespace fovea
