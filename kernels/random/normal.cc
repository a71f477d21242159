#include "kernels/random/normal.h"

#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/random/normal.cc"
#include <hwy/foreach_target.h>  // NOLINT
#include <hwy/highway.h>

#include <cstring>
#include <numbers>

#include <hwy/contrib/math/math-inl.h>

#include "kernels/simd/philox-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {
namespace {

float normal_at(const RandomSequence& random, double deviation, uint64 n) {
  return static_cast<float>(deviation * random.normal(n));
}

#if HWY_TARGET == HWY_SCALAR
void draw_normal_range(const RandomSequence& random, double deviation, uint64 first, int64 n, float* out) {
  for (int64 i = 0; i < n; ++i) out[i] = normal_at(random, deviation, first + static_cast<uint64>(i));
}
#else
using F64 = hn::ScalableTag<double>;
using F64V = hn::Vec<F64>;
using F32Half = hn::Rebind<float, F64>;

/// Whole numbers below 2^32 lie in the low bits of 2^52's mantissa.
template <class U32Half>
HWY_INLINE F64V to_f64(U32Half words) {
  const F64 d;
  const hn::RebindToUnsigned<F64> du;
  const auto magic = hn::BitCast(du, hn::Set(d, 0x1p52));
  return hn::Sub(hn::BitCast(d, hn::Or(hn::PromoteTo(du, words), magic)), hn::Set(d, 0x1p52));
}

/// Writes one f32 per lane; false where one of them might be rounded otherwise by another logarithm or cosine
/// that is as good.
template <class U32Half>
HWY_INLINE bool draw(U32Half b0, U32Half b1, double deviation, float* HWY_RESTRICT out) {
  const F64 d;
  // as RandomSequence::normal
  const F64V u = hn::Mul(hn::Add(to_f64(b0), hn::Set(d, 0.5)), hn::Set(d, 0x1p-32));
  const F64V v = hn::Mul(to_f64(b1), hn::Set(d, 0x1p-32));
  const F64V radius = hn::Sqrt(hn::Mul(hn::Set(d, -2.0), hn::Log(d, u)));
  const F64V cosine = hn::Cos(d, hn::Mul(hn::Set(d, 2 * std::numbers::pi), v));
  const F64V x = hn::Mul(hn::Set(d, deviation), hn::Mul(radius, cosine));
  // Either library is wrong by a few units of 2^-53; beside the cosine's zeros nothing is promised.
  const F64V error = hn::Mul(x, hn::Set(d, 0x1p-44));
  const F32Half df;
  const auto low = hn::DemoteTo(df, hn::Sub(x, error)), high = hn::DemoteTo(df, hn::Add(x, error));
  hn::StoreU(low, df, out);
  return hn::AllTrue(df, hn::Eq(low, high)) && hn::AllTrue(d, hn::Gt(hn::Abs(cosine), hn::Set(d, 0x1p-20)));
}

void draw_normal_range(const RandomSequence& random, double deviation, uint64 first, int64 n, float* out) {
  const U32 d;
  const hn::Half<U32> half;
  const int64 lanes = static_cast<int64>(hn::Lanes(d));
  HWY_ALIGN float end[hn::MaxLanes(U32())];
  for (int64 i = 0; i < n; i += lanes) {
    const bool whole = i + lanes <= n;
    float* to = whole ? out + i : end;
    const uint64 block = first + static_cast<uint64>(i);
    const PhiloxWords words = philox_blocks(random, block);
    const bool lower = draw(hn::LowerHalf(half, words.w0), hn::LowerHalf(half, words.w1), deviation, to);
    const bool upper =
        draw(hn::UpperHalf(half, words.w0), hn::UpperHalf(half, words.w1), deviation, to + lanes / 2);
    if (!lower || !upper)
      for (int64 lane = 0; lane < lanes; ++lane)
        to[lane] = normal_at(random, deviation, block + static_cast<uint64>(lane));
    if (!whole) std::memcpy(out + i, end, static_cast<size_t>(n - i) * sizeof(float));
  }
}
#endif

}  // namespace
}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea {
namespace {
HWY_EXPORT(draw_normal_range);
}  // namespace

void draw_normal(const RandomSequence& random, double deviation, uint64 first, int64 n, float* out) {
  HWY_DYNAMIC_DISPATCH(draw_normal_range)(random, deviation, first, n, out);
}

}  // namespace fovea
#endif  // HWY_ONCE
