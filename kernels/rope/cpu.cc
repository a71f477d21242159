#include "kernels/rope/backends.h"
#include "kernels/simd/parts.h"
#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rope/cpu.cc"
#include <hwy/foreach_target.h>  // NOLINT
#include <hwy/highway.h>

#include "kernels/simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {
namespace {

/// The angles of one row: f32 (planes) each.
struct Angles {
  const float *cosine, *sine;
  int64 planes;
  bool inverse;
};

/// Pairs (i, i + planes); y may be x.
template <class T>
HWY_INLINE void rotate_halves(const T* x, T* y, const Angles& angles) {
  const int64 planes = angles.planes;
  for_each_vector(planes, [&](int64 i, auto part) HWY_ATTR {
    const F32V a = load_row(x + i, part), b = load_row(x + planes + i, part);
    const F32V cosine = load_row(angles.cosine + i, part);
    F32V sine = load_row(angles.sine + i, part);
    if (angles.inverse) sine = hn::Neg(sine);
    store_row(hn::NegMulAdd(b, sine, hn::Mul(a, cosine)), y + i, part);
    store_row(hn::MulAdd(a, sine, hn::Mul(b, cosine)), y + planes + i, part);
  });
}

/// Pairs (2 i, 2 i + 1); y may be x.
template <class T>
HWY_INLINE void rotate_neighbours(const T* x, T* y, const Angles& angles) {
  for (int64 i = 0; i < angles.planes; ++i) {
    const float a = to_f32(x[2 * i]), b = to_f32(x[2 * i + 1]);
    const float cosine = angles.cosine[i], sine = angles.inverse ? -angles.sine[i] : angles.sine[i];
    y[2 * i] = from_f32<T>(a * cosine - b * sine);
    y[2 * i + 1] = from_f32<T>(b * cosine + a * sine);
  }
}

template <class T>
HWY_INLINE void rope_rows_of(const Rope& op, Range rows) {
  const int64 H = op.x.size(1), D = op.x.size(2), P = op.cosine.size(0), planes = op.cosine.size(1);
  for (int64 n = rows.begin; n < rows.end; ++n) {
    const int64 p = op.positions.data<int32>()[n];
    FOVEA_CHECK(0 <= p && p < P, "rope: position {} in a table of {}", p, P);
    const Angles angles{op.cosine.row<float>(p), op.sine.row<float>(p), planes, op.inverse};
    for (int64 h = 0; h < H; ++h) {
      const T* x = op.x.data<T>() + n * op.x.stride(0) + h * op.x.stride(1);
      T* y = op.y.data<T>() + n * op.y.stride(0) + h * op.y.stride(1);
      if (op.interleaved)
        rotate_neighbours(x, y, angles);
      else
        rotate_halves(x, y, angles);
      if (x != y) std::copy(x + 2 * planes, x + D, y + 2 * planes);
    }
  }
}

void rope_rows(const Rope& op, Range rows) {
  if (op.x.dtype() == DType::f32)
    rope_rows_of<float>(op, rows);
  else
    rope_rows_of<bf16>(op, rows);
}

}  // namespace
}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea {
namespace {
HWY_EXPORT(rope_rows);
}  // namespace

void cpu::run(Execution& execution, const Rope& op) {
  const RowParts parts = independent_parts(op.x.size(0), op.x.size(1) * op.x.size(2));
  execution.parallel_for(parts.count(), [&](int64 part, int) {
    HWY_DYNAMIC_DISPATCH(rope_rows)(op, parts[part]);
  });
}

}  // namespace fovea
#endif  // HWY_ONCE
