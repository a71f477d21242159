// exp2 on vectors of f32. Included once per target.
#if defined(FOVEA_ATTENTION_EXP_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_ATTENTION_EXP_INL_H
#undef FOVEA_ATTENTION_EXP_INL_H
#else
#define FOVEA_ATTENTION_EXP_INL_H
#endif

#include "kernels/simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {

/// 2^x within 2 units in the last place for x < 128; 0 below the normal numbers, hence of -inf; NaN of NaN.
///
/// 2^x = 2^n 2^r with n = round(x): adding 1.5 2^23 leaves n in the low bits of the sum, and adding the
/// exponent's bias with it makes a shift all that 2^n takes. The polynomial is 2^r's interpolation at
/// Chebyshev's nodes over [-1/2, 1/2], with error 5e-9.
template <class D>
HWY_INLINE hn::Vec<D> exp2(D d, hn::Vec<D> x) {
  using V = hn::Vec<D>;
  const hn::RebindToUnsigned<D> bits;
  const V shifter = hn::Set(d, 12582912.0f + 127.0f);
  const V shifted = hn::Add(x, shifter);
  const V r = hn::Sub(x, hn::Sub(shifted, shifter));
  V y = hn::MulAdd(r, hn::Set(d, 0x1.44138ap-13f), hn::Set(d, 0x1.5f0890p-10f));
  y = hn::MulAdd(r, y, hn::Set(d, 0x1.3b2a54p-7f));
  y = hn::MulAdd(r, y, hn::Set(d, 0x1.c6af6cp-5f));
  y = hn::MulAdd(r, y, hn::Set(d, 0x1.ebfbe0p-3f));
  y = hn::MulAdd(r, y, hn::Set(d, 0x1.62e430p-1f));
  y = hn::MulAdd(r, y, hn::Set(d, 1.0f));
  const V power = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(bits, shifted)));
  // The product, unlike a sum of exponents, keeps every NaN.
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -126.0f)), hn::Mul(y, power));
}
HWY_INLINE F32V exp2(F32V x) { return exp2(F32(), x); }

}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FOVEA_ATTENTION_EXP_INL_H
