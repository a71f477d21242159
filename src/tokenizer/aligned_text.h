#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/types.h"

namespace fovea {

/// A stretch of text, valid UTF-8, that knows which byte of the original each of its bytes comes from.
struct AlignedView {
  std::string_view text;
  const uint32* origins = nullptr;  ///< (text.size()), never falling; null: they count up from `begin`
  uint32 begin = 0;

  size_t size() const { return text.size(); }
  bool empty() const { return text.empty(); }
  uint32 origin(size_t i) const { return origins ? origins[i] : begin + static_cast<uint32>(i); }
  AlignedView part(size_t first, size_t bytes) const {
    return {text.substr(first, bytes), origins ? origins + first : nullptr,
            origins ? 0 : begin + static_cast<uint32>(first)};
  }
};

/// Text made from an AlignedView piece by piece: the owner of a new one.
class AlignedText {
 public:
  /// The stretch as it is.
  void append(const AlignedView& view);
  /// Other text that stands for what is at `origin`.
  void append(std::string_view text, uint32 origin);
  void reserve(size_t bytes);
  void clear();
  size_t size() const { return text_.size(); }
  AlignedView view() const { return {text_, origins_.data(), 0}; }

 private:
  std::string text_;
  std::vector<uint32> origins_;
};

/// The bytes as valid UTF-8: each maximal ill-formed part becomes one U+FFFD. `storage` holds what is
/// returned where anything had to be replaced; a valid text is returned as it lies.
AlignedView as_utf8(std::string_view bytes, AlignedText& storage);

}  // namespace fovea
