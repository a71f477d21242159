#include "data/split.h"

#include <algorithm>

#include "core/error.h"

namespace fovea {

Split::Split(Side side, int64 corpus_tokens, int64 block, int64 every)
    : side_(side), block_(block), every_(every) {
  FOVEA_CHECK(block >= 1 && every >= 2 && corpus_tokens >= 0, "split: {} tokens, blocks of {}, every {}",
              corpus_tokens, block, every);
  const int64 all = corpus_tokens / block, held_out = ceil_div(all, every);
  blocks_ = side == Side::held_out ? held_out : all - held_out;
}

int64 Split::source_block(int64 block) const {
  return side_ == Side::held_out ? block * every_ : block + block / (every_ - 1) + 1;
}

Range Split::source(int64 index) const {
  const int64 block = source_block(index / block_) * block_;
  return {block + index % block_, block + block_};
}

std::vector<int64> Split::document_starts(const std::vector<int64>& corpus_documents) const {
  std::vector<int64> starts;
  auto next = corpus_documents.begin();
  for (int64 b = 0; b < blocks_; ++b) {
    const int64 begin = source_block(b) * block_;
    const bool continues = b > 0 && source_block(b - 1) + 1 == source_block(b);
    if (!continues) starts.push_back(b * block_);
    next = std::lower_bound(next, corpus_documents.end(), begin);
    for (; next != corpus_documents.end() && *next < begin + block_; ++next)
      if (continues || *next > begin) starts.push_back(b * block_ + (*next - begin));
  }
  return starts;
}

}  // namespace fovea
