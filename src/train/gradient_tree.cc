#include "train/gradient_tree.h"

#include <bit>
#include <limits>

#include "kernels/reduce/reduce.h"

namespace fovea {
namespace {
constexpr size_t kNone = std::numeric_limits<size_t>::max();
}

int64 GradientTree::buffers(int64 grains) {
  // While the last grain is filled, a level is open for each bit that is set in the number of those before;
  // the most that any number below `grains` sets, and one.
  return static_cast<int64>(std::bit_width(static_cast<uint64>(grains)));
}

GradientTree::GradientTree(DType dtype, int64 elements, int64 grains, Device device) {
  for (int64 i = 0; i < buffers(grains); ++i)
    buffers_.emplace_back(dtype, std::initializer_list<int64>{elements}, device);
  start();
}

void GradientTree::start() {
  levels_.clear();
  free_.clear();
  for (size_t i = buffers_.size(); i-- > 0;) free_.push_back(i);
}

const View& GradientTree::next() {
  FOVEA_CHECK(!free_.empty(), "more grains than the tree was made for");
  current_ = free_.back();
  free_.pop_back();
  return buffers_[current_].view();
}

void GradientTree::carry(Stream& stream) {
  size_t level = 0;
  for (; level < levels_.size() && levels_[level] != kNone; ++level) {
    add_into(stream, buffers_[levels_[level]],
             buffers_[current_]);  // the earlier grains are the left operand
    free_.push_back(current_);
    current_ = levels_[level];
    levels_[level] = kNone;
  }
  if (level == levels_.size()) levels_.push_back(kNone);
  levels_[level] = current_;
}

const View& GradientTree::finish(Stream& stream) {
  size_t sum = kNone;
  for (size_t& level : levels_) {
    if (level == kNone) continue;
    if (sum != kNone) {
      add_into(stream, buffers_[level], buffers_[sum]);
      free_.push_back(sum);
    }
    sum = level;
    level = kNone;
  }
  FOVEA_CHECK(sum != kNone, "a sum of no grains");
  return buffers_[sum].view();
}

}  // namespace fovea
