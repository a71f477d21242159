#include <cmath>

#include "kernels/layer_norm/backends.h"

namespace fovea::reference {

void run(Execution&, const LayerNorm& op) {
  const int64 N = op.x.size(0), C = op.x.size(1);
  for (int64 n = 0; n < N; ++n) {
    double sum = 0, squares = 0;
    for (int64 c = 0; c < C; ++c) sum += load(op.x, {n, c});
    const double mean = sum / static_cast<double>(C);
    for (int64 c = 0; c < C; ++c) squares += (load(op.x, {n, c}) - mean) * (load(op.x, {n, c}) - mean);
    const double r = 1 / std::sqrt(squares / static_cast<double>(C) + static_cast<double>(op.epsilon));
    for (int64 c = 0; c < C; ++c) {
      const double normalised = (load(op.x, {n, c}) - mean) * r;
      store(op.y, {n, c}, normalised * load(op.weight, {c}) + (op.bias ? load(op.bias, {c}) : 0));
    }
    store(op.mean, {n}, mean);
    store(op.inverse_deviation, {n}, r);
  }
}

void run(Execution&, const LayerNormBackward& op) {
  const int64 N = op.x.size(0), C = op.x.size(1);
  for (int64 n = 0; n < N; ++n) {
    // forward: y = normalised * weight + bias, normalised = (x - mean) * r
    const double mean = load(op.mean, {n}), r = load(op.inverse_deviation, {n});
    const auto dnormalised = [&](int64 c) { return load(op.dy, {n, c}) * load(op.weight, {c}); };
    double sum = 0, dot = 0;
    for (int64 c = 0; c < C; ++c) {
      sum += dnormalised(c);
      dot += dnormalised(c) * (load(op.x, {n, c}) - mean) * r;
    }
    // forward: mean and r depend on every x: d(mean)/dx = 1 / C, dr/dx = -r^2 normalised / C
    const double from_mean = sum / static_cast<double>(C), from_r = dot / static_cast<double>(C);
    for (int64 c = 0; c < C; ++c) {
      const double dy = load(op.dy, {n, c}), normalised = (load(op.x, {n, c}) - mean) * r;
      const double dx = r * (dnormalised(c) - from_mean - normalised * from_r);
      store(op.dweight, {c}, load(op.dweight, {c}) + dy * normalised);
      if (op.dbias) store(op.dbias, {c}, load(op.dbias, {c}) + dy);
      store(op.dx, {n, c}, (op.accumulate ? load(op.dx, {n, c}) : 0) + dx);
    }
  }
}

}  // namespace fovea::reference
