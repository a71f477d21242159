// Philox on vectors: philox() of core/random.h at successive counters. Included once per target by files that
// use <hwy/foreach_target.h>; the scalar target has no vectors of products and calls philox() itself.
#if defined(FOVEA_PHILOX_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_PHILOX_INL_H
#undef FOVEA_PHILOX_INL_H
#else
#define FOVEA_PHILOX_INL_H
#endif

#include <hwy/highway.h>

#include "core/random.h"
#include "kernels/simd/rows-inl.h"

#if HWY_TARGET != HWY_SCALAR

HWY_BEFORE_NAMESPACE();
namespace fovea {
namespace HWY_NAMESPACE {

using U32V = hn::Vec<U32>;

/// The two halves of the 64-bit products of 32-bit lanes.
struct Product {
  U32V high, low;
};
HWY_INLINE Product multiply(U32V a, U32V b) {
  const U32 d;
  const hn::RepartitionToWide<U32> wide;
  const auto even = hn::MulEven(a, b);  // of lanes 0, 2, ...
  const auto odd = hn::MulEven(hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(wide, a))),
                               hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(wide, b))));
  const U32V even_high = hn::BitCast(d, hn::ShiftRight<32>(even));
  const U32V odd_low = hn::BitCast(d, hn::ShiftLeft<32>(odd));
  return {hn::OddEven(hn::BitCast(d, odd), even_high), hn::OddEven(odd_low, hn::BitCast(d, even))};
}

/// Word i of each block.
struct PhiloxWords {
  U32V w0, w1, w2, w3;
};

/// random.bits(block + lane).
HWY_INLINE PhiloxWords philox_blocks(const RandomSequence& random, uint64 block) {
  const U32 d;
  const uint64 high = (uint64{static_cast<uint32>(random.use)} << 32) | random.stream;
  const U32V low0 = hn::Set(d, static_cast<uint32>(block));
  U32V c0 = hn::Add(low0, hn::Iota(d, 0u));
  const auto carried = hn::Lt(c0, low0);
  const U32V block_high = hn::Set(d, static_cast<uint32>(block >> 32));
  U32V c1 = hn::IfThenElse(carried, hn::Add(block_high, hn::Set(d, 1u)), block_high);
  U32V c2 = hn::Set(d, static_cast<uint32>(high)), c3 = hn::Set(d, static_cast<uint32>(high >> 32));
  uint32 k0 = static_cast<uint32>(random.seed), k1 = static_cast<uint32>(random.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const Product a = multiply(hn::Set(d, 0xD2511F53u), c0), b = multiply(hn::Set(d, 0xCD9E8D57u), c2);
    c0 = hn::Xor(hn::Xor(b.high, c1), hn::Set(d, k0));
    c1 = b.low;
    c2 = hn::Xor(hn::Xor(a.high, c3), hn::Set(d, k1));
    c3 = a.low;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {c0, c1, c2, c3};
}

}  // namespace HWY_NAMESPACE
}  // namespace fovea
HWY_AFTER_NAMESPACE();

#endif  // HWY_TARGET != HWY_SCALAR
#endif  // FOVEA_PHILOX_INL_H
