#include "kernels/activation/backends.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/math.h"
#include "kernels/cuda/rows.h"

namespace fovea::cuda {
namespace {

/// A function and its derivative.
struct Curve {
  float value, slope;
};

struct Sigmoid {
  float s, complement;  // complement = 1 - s without the cancellation
};
__device__ inline Sigmoid sigmoid(float z) {
  constexpr float kLimit = 87;  // 1 + exp(87) and its reciprocal are normal numbers
  const bool inside = -z < kLimit;
  const float e = expf(fminf(-z, kLimit));
  const float s = inside ? reciprocal_approx(1 + e) : 0.0f;
  return {s, inside ? e * s : 1.0f};
}

__device__ inline Curve silu(float x) {
  const Sigmoid g = sigmoid(x);
  return {x * g.s, g.s * fmaf(x, g.complement, 1.0f)};
}

__device__ inline Curve relu(float x) {
  const bool below = x <= 0;  // false for a NaN, which passes
  return {below ? 0.0f : x, below ? 0.0f : 1.0f};
}

/// By the polynomial of cpu.cc: P(normal > |x|) = exp(-x^2 / 2) t Q(t) / 2 with t = 1 / (1 + 0.3 |x| /
/// sqrt(2)).
__device__ inline Curve gelu(float x) {
  const float e = expf(x * x * -0.5f);
  const float t = reciprocal_approx(fmaf(fabsf(x), static_cast<float>(0.3 * 0.70710678118654752), 1.0f));
  float q = -0.130770877269f;
  q = fmaf(q, t, 0.491934270557f);
  q = fmaf(q, t, -0.526151662824f);
  q = fmaf(q, t, 0.564514242151f);
  q = fmaf(q, t, -0.106983362477f);
  q = fmaf(q, t, 0.220539169105f);
  q = fmaf(q, t, 0.146796022186f);
  q = fmaf(q, t, 0.170949119948f);
  q = fmaf(q, t, 0.169173057652f);
  const float tail = (e * 0.5f) * (t * q);
  const float below = x < 0 ? tail : 1 - tail;
  const float density = e * 0.39894228040143268f;  // 1 / sqrt(2 pi)
  return {x * below, fmaf(x, density, below)};
}

/// (1 + tanh(u)) / 2 is the sigmoid of 2 u, and 2 u = x (k + m x^2).
__device__ inline Curve gelu_tanh(float x) {
  constexpr auto k = static_cast<float>(2 * 0.79788456080286536), m = static_cast<float>(k * 0.044715);
  // The sigmoid is 0 or 1 beyond, and x^2 must not overflow against its complement.
  const float bounded = fminf(fmaxf(x, -20.0f), 20.0f);
  const float square = bounded * bounded;
  const Sigmoid g = sigmoid(bounded * fmaf(square, m, k));
  const float inner = fmaf(square, 3 * m, k);
  return {x * g.s, fmaf(x, g.s * g.complement * inner, g.s)};
}

/// f(kind's curve).
template <class F>
__device__ inline void with_curve(ActivationKind kind, F f) {
  switch (kind) {
    case ActivationKind::silu:
      return f([](float x) { return silu(x); });
    case ActivationKind::relu:
      return f([](float x) { return relu(x); });
    case ActivationKind::gelu:
      return f([](float x) { return gelu(x); });
    case ActivationKind::gelu_tanh:
      return f([](float x) { return gelu_tanh(x); });
  }
}

template <class T>
struct Forward {
  Rows<const T> gate, up;  // up may be absent
  Rows<T> out;
  int64 columns, blocks_per_row;
  ActivationKind kind;
  bool aligned;
};

template <class T>
__global__ void __launch_bounds__(256) activation_kernel(Forward<T> op) {
  constexpr int kWidth = kPieceWidth<T>;
  const auto [n, c] = piece_place<kWidth>(op.blocks_per_row);
  if (c >= op.columns) return;
  Piece<kWidth> x = load_piece<kWidth>(op.gate[n], c, op.columns, op.aligned), up{};
  if (op.up.data) up = load_piece<kWidth>(op.up[n], c, op.columns, op.aligned);
  with_curve(op.kind, [&](auto curve) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) x[i] = curve(x[i]).value;
  });
  if (op.up.data) x *= up;
  store_piece(op.out[n], c, op.columns, op.aligned, x);
}

template <class T>
struct Backward {
  Rows<const T> gate, up, dout;  // up and dup may be absent
  Rows<T> dgate, dup;
  int64 columns, blocks_per_row;
  ActivationKind kind;
  bool aligned;
};

template <class T>
__global__ void __launch_bounds__(256) activation_backward_kernel(Backward<T> op) {
  constexpr int kWidth = kPieceWidth<T>;
  const auto [n, c] = piece_place<kWidth>(op.blocks_per_row);
  if (c >= op.columns) return;
  Piece<kWidth> x = load_piece<kWidth>(op.gate[n], c, op.columns, op.aligned), up{};
  Piece<kWidth> d = load_piece<kWidth>(op.dout[n], c, op.columns, op.aligned), by_up = d;
  if (op.up.data) {
    up = load_piece<kWidth>(op.up[n], c, op.columns, op.aligned);
    d *= up;
  }
  // forward: out = f(gate) * up
  with_curve(op.kind, [&](auto curve) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const Curve f = curve(x[i]);
      d[i] *= f.slope;
      by_up[i] *= f.value;
    }
  });
  store_piece(op.dgate[n], c, op.columns, op.aligned, d);
  if (op.up.data) store_piece(op.dup[n], c, op.columns, op.aligned, by_up);
}

}  // namespace

void run(Execution& execution, const Activation& op) {
  with_storage(op.gate.dtype(), [&]<class T>() {
    const MatrixShape shape = merged_rows(op.gate, op.up, op.out);
    const PieceGrid grid(shape, kPieceWidth<T>);
    const Forward<T> forward{Rows<const T>(op.gate),
                             Rows<const T>(op.up),
                             Rows<T>(op.out),
                             shape.columns,
                             grid.blocks_per_row,
                             op.kind,
                             pieces_aligned(kPieceWidth<T>, op.gate, op.up, op.out)};
    launch(execution, "activation", grid.shape(), activation_kernel<T>, forward);
  });
}

void run(Execution& execution, const ActivationBackward& op) {
  with_storage(op.gate.dtype(), [&]<class T>() {
    const MatrixShape shape = merged_rows(op.gate, op.up, op.dout, op.dgate, op.dup);
    const PieceGrid grid(shape, kPieceWidth<T>);
    const Backward<T> backward{Rows<const T>(op.gate),
                               Rows<const T>(op.up),
                               Rows<const T>(op.dout),
                               Rows<T>(op.dgate),
                               Rows<T>(op.dup),
                               shape.columns,
                               grid.blocks_per_row,
                               op.kind,
                               pieces_aligned(kPieceWidth<T>, op.gate, op.up, op.dout, op.dgate, op.dup)};
    launch(execution, "activation_backward", grid.shape(), activation_backward_kernel<T>, backward);
  });
}

}  // namespace fovea::cuda
