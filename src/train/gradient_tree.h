#pragma once

#include <vector>

#include "core/buffer.h"
#include "core/stream.h"

namespace fovea {

/// Sums the gradients of grains by a binary tree whose shape depends on their number alone: grain 2 i is
/// added to grain 2 i + 1, those sums in pairs, and so on, as a binary counter carries. Whoever computes the
/// grains, in what accumulation or on which rank, gets the same bits.
class GradientTree {
 public:
  /// Buffers of n elements for up to `grains` grains.
  GradientTree(DType dtype, int64 elements, int64 grains, Device device = Device::cpu);
  static int64 buffers(int64 grains);  ///< how many that takes

  void start();
  /// For the next grain; holds anything.
  const View& next();
  /// The buffer that next() gave is complete.
  void carry(Stream& stream);
  /// The sum of all grains since start().
  const View& finish(Stream& stream);

 private:
  std::vector<Buffer> buffers_;
  std::vector<size_t> free_;
  std::vector<size_t> levels_;  // buffer of each level of the counter, kNone where its bit is 0
  size_t current_ = 0;
};

}  // namespace fovea
