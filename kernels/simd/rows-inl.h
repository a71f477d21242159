// Rows of f32 | bf16 seen as vectors of f32. Included once per target by files that use
// <hwy/foreach_target.h>.
#if defined(FOVEA_ROWS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_ROWS_INL_H
#undef FOVEA_ROWS_INL_H
#else
#define FOVEA_ROWS_INL_H
#endif

#include <hwy/highway.h>

#include <cstring>

#include "core/view.h"

HWY_BEFORE_NAMESPACE();
namespace fovea {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using F32V = hn::Vec<F32>;
using U32 = hn::RebindToUnsigned<F32>;
using U16 = hn::Rebind<uint16_t, F32>;

/// How much of a vector a row still has: all lanes, or `n` of them. Absent lanes load as zero.
struct Whole {};
struct Part {
  size_t n;
};

HWY_INLINE F32V load_row(const float* p, Whole) { return hn::LoadU(F32(), p); }
HWY_INLINE F32V load_row(const bf16* p, Whole) {
  const auto bits = hn::LoadU(U16(), reinterpret_cast<const uint16_t*>(p));
  return hn::BitCast(F32(), hn::ShiftLeft<16>(hn::PromoteTo(U32(), bits)));
}
HWY_INLINE void store_row(F32V x, float* p, Whole) { hn::StoreU(x, F32(), p); }
/// Rounds to nearest even; a NaN stays a NaN: as bf16(float).
HWY_INLINE void store_row(F32V x, bf16* p, Whole) {
  const U32 d;
  const auto u = hn::BitCast(d, x);
  const auto upper = hn::ShiftRight<16>(u);
  const auto half = hn::Add(hn::Set(d, 0x7fffu), hn::And(upper, hn::Set(d, 1u)));
  const auto rounded = hn::ShiftRight<16>(hn::Add(u, half));
  const auto quiet = hn::Or(upper, hn::Set(d, 0x40u));
  const auto bits = hn::IfThenElse(hn::RebindMask(d, hn::IsNaN(x)), quiet, rounded);
  const hn::RebindToSigned<U32> di;
  hn::StoreU(hn::DemoteTo(U16(), hn::BitCast(di, bits)), U16(), reinterpret_cast<uint16_t*>(p));
}
#if HWY_TARGET == HWY_SCALAR
HWY_INLINE bool is_half(Part) { return false; }
template <class T>
HWY_INLINE F32V load_half(const T*) {
  return hn::Zero(F32());
}
#else
/// Half a vector, which is what short heads are on wide processors, is loaded as such: the detour over a
/// buffer would wait for its own stores.
HWY_INLINE bool is_half(Part part) { return 2 * part.n == hn::Lanes(F32()); }
HWY_INLINE F32V load_half(const float* p) {
  return hn::ZeroExtendVector(F32(), hn::LoadU(hn::Half<F32>(), p));
}
HWY_INLINE F32V load_half(const bf16* p) {
  const auto bits = hn::LoadU(hn::Half<U16>(), reinterpret_cast<const uint16_t*>(p));
  const auto shifted = hn::ShiftLeft<16>(hn::PromoteTo(hn::Half<U32>(), bits));
  return hn::ZeroExtendVector(F32(), hn::BitCast(hn::Half<F32>(), shifted));
}
#endif
/// The end of a row otherwise goes through a buffer, so that its elements have the bits that whole vectors
/// give.
template <class T>
HWY_INLINE F32V load_row(const T* p, Part part) {
  if (is_half(part)) return load_half(p);
  HWY_ALIGN T lanes[hn::MaxLanes(F32())] = {};
  std::memcpy(static_cast<void*>(lanes), p, part.n * sizeof(T));
  return load_row(lanes, Whole());
}
template <class T>
HWY_INLINE void store_row(F32V x, T* p, Part part) {
  HWY_ALIGN T lanes[hn::MaxLanes(F32())];
  store_row(x, lanes, Whole());
  if (is_half(part))
    std::memcpy(static_cast<void*>(p), lanes, hn::MaxLanes(F32()) / 2 * sizeof(T));
  else
    std::memcpy(static_cast<void*>(p), lanes, part.n * sizeof(T));
}

/// f(i, Whole) for each whole vector of a row of n elements, f(i, Part) for what is left.
template <class F>
HWY_INLINE void for_each_vector(int64 n, F f) {
  const int64 lanes = static_cast<int64>(hn::Lanes(F32()));
  int64 i = 0;
  for (; i + lanes <= n; i += lanes) f(i, Whole());
  if (i < n) f(i, Part{static_cast<size_t>(n - i)});
}

/// f32 of any row: in place where it is f32 already, else converted into `buffer` (n).
HWY_INLINE const float* read_row(DType dtype, const void* row, int64 n, float* HWY_RESTRICT buffer) {
  if (dtype == DType::f32) return static_cast<const float*>(row);
  const bf16* from = static_cast<const bf16*>(row);
  for_each_vector(
      n, [&](int64 i, auto part) HWY_ATTR { store_row(load_row(from + i, part), buffer + i, part); });
  return buffer;
}
/// Where to put f32 results for a row: itself, or `buffer` (n), which write_row then converts.
HWY_INLINE float* target_row(DType dtype, void* row, float* buffer) {
  return dtype == DType::f32 ? static_cast<float*>(row) : buffer;
}
HWY_INLINE void write_row(DType dtype, void* row, int64 n, const float* HWY_RESTRICT from) {
  if (dtype == DType::f32) return;
  bf16* to = static_cast<bf16*>(row);
  for_each_vector(n, [&](int64 i, auto part) HWY_ATTR { store_row(load_row(from + i, part), to + i, part); });
}

/// The sum over a row of term(i, part): four chains that hide the latency of additions; its order is fixed by
/// n.
template <class F>
HWY_INLINE float sum_row(int64 n, F term) {
  const F32 d;
  const int64 lanes = static_cast<int64>(hn::Lanes(d));
  F32V s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  int64 i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    s0 = hn::Add(s0, term(i, Whole()));
    s1 = hn::Add(s1, term(i + lanes, Whole()));
    s2 = hn::Add(s2, term(i + 2 * lanes, Whole()));
    s3 = hn::Add(s3, term(i + 3 * lanes, Whole()));
  }
  for (; i + lanes <= n; i += lanes) s0 = hn::Add(s0, term(i, Whole()));
  if (i < n) {
    const Part part{static_cast<size_t>(n - i)};
    s1 = hn::Add(s1, hn::IfThenElseZero(hn::FirstN(d, part.n), term(i, part)));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
}

}  // namespace HWY_NAMESPACE
}  // namespace fovea
HWY_AFTER_NAMESPACE();

#endif  // FOVEA_ROWS_INL_H
