#include "kernels/activation/backends.h"
#include "kernels/simd/parts.h"
#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/activation/cpu.cc"
#include <hwy/foreach_target.h>  // NOLINT
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

#include "kernels/simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {
namespace {

constexpr int64 kColumns = 512;  // a row is taken in pieces whose f32 copies stay in the first-level cache

HWY_INLINE F32V constant(double x) { return hn::Set(F32(), static_cast<float>(x)); }

/// A function and its derivative.
struct Curve {
  F32V value, slope;
};

struct Sigmoid {
  F32V s, complement;  // complement = 1 - s without the cancellation
};
HWY_INLINE Sigmoid sigmoid(F32V z) {
  const F32 d;
  const F32V minus = hn::Neg(z),
             limit = constant(88);  // exp(88) is finite, and 1 / (1 + exp(88)) is subnormal
  const F32V e = hn::Exp(d, hn::Min(minus, limit));
  const F32V s = hn::IfThenElseZero(hn::Lt(minus, limit), hn::Div(constant(1), hn::Add(constant(1), e)));
  return {s, hn::IfThenElse(hn::Lt(minus, limit), hn::Mul(e, s), constant(1))};
}

HWY_INLINE Curve silu(F32V x) {
  const Sigmoid g = sigmoid(x);
  return {hn::Mul(x, g.s), hn::Mul(g.s, hn::MulAdd(x, g.complement, constant(1)))};
}

HWY_INLINE Curve relu(F32V x) {
  const auto below = hn::Le(x, hn::Zero(F32()));  // false for a NaN, which passes
  return {hn::IfThenZeroElse(below, x), hn::IfThenZeroElse(below, constant(1))};
}

/// Below zero P(normal <= x) = erfc(z) / 2 with z = -x / sqrt(2), and erfc(z) exp(z^2) = t Q(t) with t = 1 /
/// (1 + 0.3 z): Q is the Chebyshev fit of degree 8 over z in [0, 10], where exp(-z^2) ends; relative
/// error 2.5e-8.
HWY_INLINE Curve gelu(F32V x) {
  const F32 d;
  const F32V e = hn::Exp(d, hn::Mul(hn::Mul(x, x), constant(-0.5)));
  const F32V t =
      hn::Div(constant(1), hn::MulAdd(hn::Abs(x), constant(0.3 * 0.70710678118654752), constant(1)));
  F32V q = constant(-0.130770877269);
  for (const double c : {0.491934270557, -0.526151662824, 0.564514242151, -0.106983362477, 0.220539169105,
                         0.146796022186, 0.170949119948, 0.169173057652})
    q = hn::MulAdd(q, t, constant(c));
  const F32V tail = hn::Mul(hn::Mul(e, constant(0.5)), hn::Mul(t, q));  // P(normal > |x|)
  const F32V below = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(constant(1), tail));
  const F32V density = hn::Mul(e, constant(0.39894228040143268));  // 1 / sqrt(2 pi)
  return {hn::Mul(x, below), hn::MulAdd(x, density, below)};
}

/// (1 + tanh(u)) / 2 is the sigmoid of 2 u, and 2 u = x (k + m x^2).
HWY_INLINE Curve gelu_tanh(F32V x) {
  constexpr double k = 2 * 0.79788456080286536, m = k * 0.044715;  // 2 sqrt(2 / pi)
  // The sigmoid is 0 or 1 beyond, and x^2 must not overflow against its complement.
  const F32V bounded = hn::Min(hn::Max(x, constant(-20)), constant(20));
  const F32V square = hn::Mul(bounded, bounded);
  const Sigmoid g = sigmoid(hn::Mul(bounded, hn::MulAdd(square, constant(m), constant(k))));
  const F32V inner = hn::MulAdd(square, constant(3 * m), constant(k));
  return {hn::Mul(x, g.s), hn::MulAdd(x, hn::Mul(hn::Mul(g.s, g.complement), inner), g.s)};
}

/// f(kind's curve): the kind is chosen outside of the loops.
template <class F>
HWY_INLINE void with_curve(ActivationKind kind, F f) {
  switch (kind) {
    case ActivationKind::silu:
      return f([](F32V x) HWY_ATTR { return silu(x); });
    case ActivationKind::relu:
      return f([](F32V x) HWY_ATTR { return relu(x); });
    case ActivationKind::gelu:
      return f([](F32V x) HWY_ATTR { return gelu(x); });
    case ActivationKind::gelu_tanh:
      return f([](F32V x) HWY_ATTR { return gelu_tanh(x); });
  }
}

void activation_rows(const Activation& op, Range rows) {
  const int64 C = op.gate.size(1);
  const DType dtype = op.gate.dtype();
  HWY_ALIGN float gate_buffer[kColumns], up_buffer[kColumns];
  for (int64 n = rows.begin; n < rows.end; ++n)
    for (int64 c = 0; c < C; c += kColumns) {
      const int64 columns = std::min(kColumns, C - c);
      const float* gate = read_row(dtype, op.gate.at({n, c}), columns, gate_buffer);
      const float* up = op.up ? read_row(dtype, op.up.at({n, c}), columns, up_buffer) : nullptr;
      float* out = target_row(dtype, op.out.at({n, c}), gate_buffer);
      with_curve(op.kind, [&](auto curve) HWY_ATTR {
        for_each_vector(columns, [&](int64 i, auto part) HWY_ATTR {
          const F32V value = curve(load_row(gate + i, part)).value;
          store_row(up ? hn::Mul(value, load_row(up + i, part)) : value, out + i, part);
        });
      });
      write_row(dtype, op.out.at({n, c}), columns, out);
    }
}

void activation_backward_rows(const ActivationBackward& op, Range rows) {
  const int64 C = op.gate.size(1);
  const DType dtype = op.gate.dtype();
  HWY_ALIGN float gate_buffer[kColumns], up_buffer[kColumns], dout_buffer[kColumns];
  for (int64 n = rows.begin; n < rows.end; ++n)
    for (int64 c = 0; c < C; c += kColumns) {
      const int64 columns = std::min(kColumns, C - c);
      const float* gate = read_row(dtype, op.gate.at({n, c}), columns, gate_buffer);
      const float* up = op.up ? read_row(dtype, op.up.at({n, c}), columns, up_buffer) : nullptr;
      const float* dout = read_row(dtype, op.dout.at({n, c}), columns, dout_buffer);
      float* dgate = target_row(dtype, op.dgate.at({n, c}), gate_buffer);
      float* dup = up ? target_row(dtype, op.dup.at({n, c}), up_buffer) : nullptr;
      with_curve(op.kind, [&](auto curve) HWY_ATTR {
        for_each_vector(columns, [&](int64 i, auto part) HWY_ATTR {
          // forward: out = f(gate) * up
          const Curve f = curve(load_row(gate + i, part));
          F32V d = load_row(dout + i, part);
          const F32V by_up = hn::Mul(d, f.value);
          if (up) d = hn::Mul(d, load_row(up + i, part));
          store_row(hn::Mul(d, f.slope), dgate + i, part);
          if (up) store_row(by_up, dup + i, part);
        });
      });
      write_row(dtype, op.dgate.at({n, c}), columns, dgate);
      if (up) write_row(dtype, op.dup.at({n, c}), columns, dup);
    }
}

}  // namespace
}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea {
namespace {
HWY_EXPORT(activation_rows);
HWY_EXPORT(activation_backward_rows);
}  // namespace

namespace cpu {

void run(Execution& execution, const Activation& op) {
  const RowParts parts = independent_parts(op.gate.size(0), op.gate.size(1));
  execution.parallel_for(parts.count(), [&](int64 part, int) {
    HWY_DYNAMIC_DISPATCH(activation_rows)(op, parts[part]);
  });
}

void run(Execution& execution, const ActivationBackward& op) {
  const RowParts parts = independent_parts(op.gate.size(0), op.gate.size(1));
  execution.parallel_for(parts.count(), [&](int64 part, int) {
    HWY_DYNAMIC_DISPATCH(activation_backward_rows)(op, parts[part]);
  });
}

}  // namespace cpu
}  // namespace fovea
#endif  // HWY_ONCE
