#include <algorithm>
#include <cmath>

#include "kernels/adamw/backends.h"

namespace fovea::reference {

void run(Execution&, const AdamW& op) {
  if (!goes(op)) return;
  const double t = static_cast<double>(op.step);
  const double scale = whole_scale(op);
  bool finite = true;
  const auto update = [&](int64 i, double decay) {
    const double g = load(op.gradient, {i}) * scale;
    const double m = op.beta1 * load(op.m, {i}) + (1 - op.beta1) * g;
    const double v = op.beta2 * load(op.v, {i}) + (1 - op.beta2) * g * g;
    const double m_hat = m / (1 - std::pow(op.beta1, t)), v_hat = v / (1 - std::pow(op.beta2, t));
    const double decayed = load(op.weight, {i}) * (1 - op.lr * decay);
    const double w = decayed - op.lr * m_hat / (std::sqrt(v_hat) + op.epsilon);
    finite = finite && std::isfinite(m) && std::isfinite(v) && std::isfinite(w);
    store(op.m, {i}, m);
    store(op.v, {i}, v);
    store(op.weight, {i}, w);
    if (op.compute_weight) store(op.compute_weight, {i}, w);
  };
  for_each_decay(op, {0, op.weight.size(0)}, [&](Range alike, double decay) {
    for (int64 i = alike.begin; i < alike.end; ++i) update(i, decay);
  });
  if (op.finite && !finite) op.finite->set(false);
}

void run(Execution&, const UpdateGate& op) {
  const double norm = std::sqrt(*op.squares.data<double>());
  *op.go.data<int32>() = std::isfinite(norm) && (!op.loss || std::isfinite(*op.loss.data<double>()));
  *op.factor.data<double>() = op.clip > 0 ? std::min(1.0, op.clip / (norm + 1e-6)) : 1;
}

}  // namespace fovea::reference
