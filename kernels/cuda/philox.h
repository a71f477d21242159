#pragma once

#include "kernels/cuda/pieces.h"
#include "kernels/residual/dropout.h"

// Counter-based random numbers and dropout on the device: the bits of core/random.h and of dropout_keeps().

namespace fovea::cuda {

/// philox() of core/random.h.
__device__ inline uint4 philox_block(uint64 key, uint64 counter_high, uint64 counter_low) {
  uint32 k0 = static_cast<uint32>(key), k1 = static_cast<uint32>(key >> 32);
  uint4 c = make_uint4(static_cast<uint32>(counter_low), static_cast<uint32>(counter_low >> 32),
                       static_cast<uint32>(counter_high), static_cast<uint32>(counter_high >> 32));
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const uint64 a = uint64{0xD2511F53u} * c.x, b = uint64{0xCD9E8D57u} * c.z;
    c = make_uint4(static_cast<uint32>(b >> 32) ^ c.y ^ k0, static_cast<uint32>(b),
                   static_cast<uint32>(a >> 32) ^ c.w ^ k1, static_cast<uint32>(a));
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

/// A Dropout as kernels take it.
struct DeviceDropout {
  uint64 key = 0, counter_high = 0;
  uint64 first = 0;  ///< index of element (0, 0)
  uint32 threshold = 0;
  float scale = 1;

  DeviceDropout(const Dropout& dropout, int64 C)
      : key(dropout.random.seed),
        counter_high((uint64{static_cast<uint32>(dropout.random.use)} << 32) | dropout.random.stream),
        first(dropout_element(dropout, 0, C, 0)),
        threshold(dropout_threshold(dropout)),
        scale(static_cast<float>(dropout_scale(dropout))) {}
  __device__ bool drops() const { return threshold > 0; }
};

/// Applies dropout to the elements from `element` on (counted from (0, 0)): a dropped one is 0 whatever it
/// was.
template <int kWidth>
__device__ void drop(const DeviceDropout& dropout, int64 element, Piece<kWidth>& piece) {
  const uint64 e = dropout.first + static_cast<uint64>(element);
  const uint64 block = e / 4;
  const bool shifted1 = (e & 1) != 0, shifted2 = (e & 2) != 0;
  uint32 words[kWidth + 4];  // of the blocks that the piece touches
#pragma unroll
  for (int b = 0; b <= kWidth / 4; ++b) {
    uint4 bits = make_uint4(0, 0, 0, 0);
    if (b < kWidth / 4 || shifted1 || shifted2)
      bits = philox_block(dropout.key, dropout.counter_high, block + static_cast<uint64>(b));
    words[4 * b] = bits.x, words[4 * b + 1] = bits.y, words[4 * b + 2] = bits.z, words[4 * b + 3] = bits.w;
  }
#pragma unroll
  for (int i = 0; i < kWidth + 2; ++i) words[i] = shifted2 ? words[i + 2] : words[i];
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    const uint32 word = shifted1 ? words[i + 1] : words[i];
    piece[i] = (word >> 8) >= dropout.threshold ? piece[i] * dropout.scale : 0.0f;
  }
}

}  // namespace fovea::cuda
