#pragma once

#include "core/types.h"

#ifdef __CUDACC__
#define FOVEA_HOST_DEVICE __host__ __device__
#else
#define FOVEA_HOST_DEVICE
#endif

namespace fovea::cuda {

/// Divides numbers below 2^31 by one that the host knows, by a multiplication and a shift, where a division
/// takes some thirty instructions (Granlund and Montgomery 1994, theorem 4.2, for 31 bits).
class Divisor {
 public:
  Divisor() = default;
  /// d > 0
  explicit Divisor(int d) {
    while ((int64{1} << log2_) < d) ++log2_;
    multiplier_ = static_cast<uint32>((uint64{1} << (31 + log2_)) / static_cast<uint64>(d)) + 1;
  }
  FOVEA_HOST_DEVICE int quotient(int n) const {
    return static_cast<int>((uint64{static_cast<uint32>(n)} * multiplier_) >> (31 + log2_));
  }

 private:
  uint32 multiplier_ = 0x80000001u;
  int log2_ = 0;
};

}  // namespace fovea::cuda
