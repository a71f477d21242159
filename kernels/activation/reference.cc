#include <cmath>
#include <numbers>

#include "kernels/activation/backends.h"

namespace fovea::reference {
namespace {

/// A function and its derivative at one point.
struct Curve {
  double value, slope;
};

Curve silu(double x) {
  const double s = 1 / (1 + std::exp(-x));
  return {x * s, s * (1 + x * (1 - s))};
}

Curve relu(double x) { return {x <= 0 ? 0 : x, x <= 0 ? 0.0 : 1.0}; }

Curve gelu(double x) {
  const double below = std::erfc(-x / std::numbers::sqrt2) / 2;  // P(normal <= x)
  const double density = std::exp(-x * x / 2) * std::numbers::inv_sqrtpi / std::numbers::sqrt2;
  return {x * below, below + x * density};
}

Curve gelu_tanh(double x) {
  const double k = std::numbers::sqrt2 * std::numbers::inv_sqrtpi, cubic = 0.044715;
  const double t = std::tanh(k * (x + cubic * x * x * x));
  return {x * (1 + t) / 2, (1 + t) / 2 + x * (1 - t * t) / 2 * k * (1 + 3 * cubic * x * x)};
}

Curve curve(ActivationKind kind, double x) {
  switch (kind) {
    case ActivationKind::silu:
      return silu(x);
    case ActivationKind::relu:
      return relu(x);
    case ActivationKind::gelu:
      return gelu(x);
    case ActivationKind::gelu_tanh:
      return gelu_tanh(x);
  }
  FOVEA_CHECK(false, "activation kind {}", static_cast<int>(kind));
  return {};
}

}  // namespace

void run(Execution&, const Activation& op) {
  const int64 N = op.gate.size(0), C = op.gate.size(1);
  for (int64 n = 0; n < N; ++n)
    for (int64 c = 0; c < C; ++c) {
      const double value = curve(op.kind, load(op.gate, {n, c})).value;
      store(op.out, {n, c}, op.up ? value * load(op.up, {n, c}) : value);
    }
}

void run(Execution&, const ActivationBackward& op) {
  const int64 N = op.gate.size(0), C = op.gate.size(1);
  for (int64 n = 0; n < N; ++n)
    for (int64 c = 0; c < C; ++c) {
      // forward: out = f(gate) * up
      const auto [value, slope] = curve(op.kind, load(op.gate, {n, c}));
      const double up = op.up ? load(op.up, {n, c}) : 1, dout = load(op.dout, {n, c});
      store(op.dgate, {n, c}, dout * up * slope);
      if (op.dup) store(op.dup, {n, c}, dout * value);
    }
}

}  // namespace fovea::reference
