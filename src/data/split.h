#pragma once

#include <vector>

#include "core/types.h"

namespace fovea {

/// How a corpus of tokens is cut into whole blocks; what is left after the last one belongs to none.
class Blocks {
 public:
  Blocks() = default;
  /// Of as many tokens each.
  static Blocks uniform(int64 tokens, int64 block);
  /// From each of these tokens to the next; never falling.
  static Blocks between(std::vector<int64> bounds);

  int64 count() const { return count_; }
  Range operator[](int64 block) const {
    if (bounds_.empty()) return {block * size_, (block + 1) * size_};
    return {bounds_[static_cast<size_t>(block)], bounds_[static_cast<size_t>(block) + 1]};
  }
  /// Tokens of each; 0: they differ.
  int64 size() const { return size_; }

 private:
  int64 count_ = 0, size_ = 1;
  std::vector<int64> bounds_;
};

/// One side of a corpus cut into blocks, of which every n-th (0, n, 2n ...) is held out: its blocks laid end
/// to end are a stream.
class Split {
 public:
  enum class Side { train, held_out };

  Split() = default;
  Split(Side side, Blocks blocks, int64 every);

  int64 tokens() const { return starts_.empty() ? count_ * blocks_.size() : starts_.back(); }
  int64 blocks() const { return count_; }
  /// The contiguous tokens of the corpus that stand at the stream's index, up to the end of its block.
  Range source(int64 index) const;
  /// Where the stream's text stops being one document: the documents' beginnings and the places where the
  /// other side's blocks were taken out. Climbs strictly from 0; the stream's end is not in it.
  std::vector<int64> document_starts(const std::vector<int64>& corpus_documents) const;

 private:
  int64 source_block(int64 block) const;
  /// Stream index at which a block of this side begins.
  int64 start(int64 block) const {
    return starts_.empty() ? block * blocks_.size() : starts_[static_cast<size_t>(block)];
  }

  Side side_ = Side::train;
  Blocks blocks_;
  int64 count_ = 0, every_ = 2;
  std::vector<int64> starts_;  // (count + 1), where blocks differ in size
};

}  // namespace fovea
