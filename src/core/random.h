#pragma once

#include <array>
#include <cmath>
#include <numbers>

#include "core/types.h"

namespace fovea {

__extension__ using uint128 = unsigned __int128;

/// Philox 4x32 with ten rounds (Salmon et al. 2011): random bits as a function of a key and a counter, so
/// that any value can be drawn again, in any order, on any device.
inline std::array<uint32, 4> philox(uint64 key, uint64 counter_high, uint64 counter_low) {
  uint32 k0 = static_cast<uint32>(key), k1 = static_cast<uint32>(key >> 32);
  std::array<uint32, 4> c{static_cast<uint32>(counter_low), static_cast<uint32>(counter_low >> 32),
                          static_cast<uint32>(counter_high), static_cast<uint32>(counter_high >> 32)};
  for (int round = 0; round < 10; ++round) {
    const uint64 a = uint64{0xD2511F53u} * c[0], b = uint64{0xCD9E8D57u} * c[2];
    c = {static_cast<uint32>(b >> 32) ^ c[1] ^ k0, static_cast<uint32>(b),
         static_cast<uint32>(a >> 32) ^ c[3] ^ k1, static_cast<uint32>(a)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

/// What a random number is for; part of the coordinates, so that no two purposes share bits.
enum class RandomUse : uint32 {
  initialisation = 1,
  data_order = 2,
  dropout = 3,
  conversion = 4,
  synthetic = 5
};

/// One independent sequence of random numbers: the n-th is a function of (seed, use, stream, n) alone.
struct RandomSequence {
  uint64 seed = 0;
  RandomUse use = RandomUse::synthetic;
  uint32 stream = 0;  ///< a layer, a tensor, an epoch

  std::array<uint32, 4> bits(uint64 n) const {
    return philox(seed, (uint64{static_cast<uint32>(use)} << 32) | stream, n);
  }
  /// Uniform in [0, 1), 24 bits.
  float uniform(uint64 n) const { return static_cast<float>(bits(n)[0] >> 8) * 0x1p-24f; }
  /// Uniform in [0, bound) (Lemire's multiply and shift over 64 bits; the bias is below bound / 2^64).
  uint64 below(uint64 bound, uint64 n) const {
    const auto b = bits(n);
    const uint64 word = (uint64{b[1]} << 32) | b[0];
    return static_cast<uint64>((static_cast<uint128>(word) * bound) >> 64);
  }
  /// Standard normal (Box-Muller on 32-bit uniforms).
  double normal(uint64 n) const {
    const auto b = bits(n);
    const double u = (b[0] + 0.5) * 0x1p-32, v = b[1] * 0x1p-32;
    return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
  }
};

}  // namespace fovea
