#include <cmath>

#include "kernels/adamw/backends.h"

namespace fovea::reference {

void run(Execution&, const AdamW& op) {
  const double t = static_cast<double>(op.step);
  bool finite = true;
  for (int64 i = 0; i < op.weight.size(0); ++i) {
    const double g = load(op.gradient, {i}) * op.gradient_scale;
    const double m = op.beta1 * load(op.m, {i}) + (1 - op.beta1) * g;
    const double v = op.beta2 * load(op.v, {i}) + (1 - op.beta2) * g * g;
    const double m_hat = m / (1 - std::pow(op.beta1, t)), v_hat = v / (1 - std::pow(op.beta2, t));
    const double decayed = load(op.weight, {i}) * (1 - op.lr * op.decay);
    const double w = decayed - op.lr * m_hat / (std::sqrt(v_hat) + op.epsilon);
    finite = finite && std::isfinite(m) && std::isfinite(v) && std::isfinite(w);
    store(op.m, {i}, m);
    store(op.v, {i}, v);
    store(op.weight, {i}, w);
    if (op.compute_weight) store(op.compute_weight, {i}, w);
  }
  if (op.finite && !finite) op.finite->set(false);
}

}  // namespace fovea::reference
