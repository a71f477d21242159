#pragma once

#include <vector>

#include "core/types.h"

namespace fovea {

/// One side of a corpus cut into whole blocks, of which every n-th (0, n, 2n ...) is held out: its blocks
/// laid end to end are a stream. What is left after the last whole block belongs to neither side.
class Split {
 public:
  enum class Side { train, held_out };

  Split() = default;
  Split(Side side, int64 corpus_tokens, int64 block, int64 every);

  int64 tokens() const { return blocks_ * block_; }
  int64 block() const { return block_; }
  /// The contiguous tokens of the corpus that stand at the stream's index, up to the end of its block.
  Range source(int64 index) const;
  /// Where the stream's text stops being one document: the documents' beginnings and the places where the
  /// other side's blocks were taken out. Climbs strictly from 0; the stream's end is not in it.
  std::vector<int64> document_starts(const std::vector<int64>& corpus_documents) const;

 private:
  int64 source_block(int64 block) const;

  Side side_ = Side::train;
  int64 blocks_ = 0, block_ = 1, every_ = 2;
};

}  // namespace fovea
