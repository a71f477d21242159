#include "data/split.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace fovea {

Blocks Blocks::uniform(int64 tokens, int64 block) {
  FOVEA_CHECK(block >= 1 && tokens >= 0, "{} tokens in blocks of {}", tokens, block);
  Blocks blocks;
  blocks.count_ = tokens / block;
  blocks.size_ = block;
  return blocks;
}

Blocks Blocks::between(std::vector<int64> bounds) {
  FOVEA_CHECK(!bounds.empty() && std::is_sorted(bounds.begin(), bounds.end()), "{} bounds of blocks",
              bounds.size());
  Blocks blocks;
  blocks.count_ = static_cast<int64>(bounds.size()) - 1;
  blocks.size_ = 0;
  blocks.bounds_ = std::move(bounds);
  return blocks;
}

Split::Split(Side side, Blocks blocks, int64 every) : side_(side), blocks_(std::move(blocks)), every_(every) {
  FOVEA_CHECK(every >= 2, "split: every {}", every);
  const int64 held_out = ceil_div(blocks_.count(), every);
  count_ = side == Side::held_out ? held_out : blocks_.count() - held_out;
  if (blocks_.size() > 0) return;
  starts_ = {0};
  for (int64 b = 0; b < count_; ++b) starts_.push_back(starts_.back() + blocks_[source_block(b)].size());
}

int64 Split::source_block(int64 block) const {
  return side_ == Side::held_out ? block * every_ : block + block / (every_ - 1) + 1;
}

Range Split::source(int64 index) const {
  const int64 block = starts_.empty()
                          ? index / blocks_.size()
                          : std::upper_bound(starts_.begin(), starts_.end(), index) - starts_.begin() - 1;
  const Range tokens = blocks_[source_block(block)];
  return {tokens.begin + index - start(block), tokens.end};
}

std::vector<int64> Split::document_starts(const std::vector<int64>& corpus_documents) const {
  std::vector<int64> starts;
  const auto add = [&](int64 index) {
    if (index < tokens() && (starts.empty() || starts.back() < index)) starts.push_back(index);
  };
  auto next = corpus_documents.begin();
  for (int64 b = 0; b < count_; ++b) {
    const Range block = blocks_[source_block(b)];
    const bool continues = b > 0 && source_block(b - 1) + 1 == source_block(b);
    if (!continues) add(start(b));
    next = std::lower_bound(next, corpus_documents.end(), block.begin);
    for (; next != corpus_documents.end() && *next < block.end; ++next) add(start(b) + (*next - block.begin));
  }
  return starts;
}

}  // namespace fovea
