#include <cmath>

#include "kernels/rms_norm/backends.h"

namespace fovea::reference {

void run(Execution&, const RmsNorm& op) {
  const int64 N = op.x.size(0), C = op.x.size(1);
  for (int64 n = 0; n < N; ++n) {
    double squares = 0;
    for (int64 c = 0; c < C; ++c) squares += load(op.x, {n, c}) * load(op.x, {n, c});
    const double r = 1 / std::sqrt(squares / static_cast<double>(C) + static_cast<double>(op.epsilon));
    for (int64 c = 0; c < C; ++c)
      store(op.y, {n, c},
            load(op.x, {n, c}) * r * (static_cast<double>(op.weight_offset) + load(op.weight, {c})));
    store(op.inverse_rms, {n}, r);
  }
}

void run(Execution&, const RmsNormBackward& op) {
  const int64 N = op.x.size(0), C = op.x.size(1);
  for (int64 n = 0; n < N; ++n) {
    // forward: y = x * r * (weight_offset + weight)
    const double r = load(op.inverse_rms, {n});
    const auto dnormalised = [&](int64 c) {
      return load(op.dy, {n, c}) * (static_cast<double>(op.weight_offset) + load(op.weight, {c}));
    };
    double dot = 0;
    for (int64 c = 0; c < C; ++c) dot += dnormalised(c) * load(op.x, {n, c});
    // forward: r = 1 / sqrt(mean(x^2) + epsilon), so dr/dx = -r^3 x / C
    const double k = dot * r * r / static_cast<double>(C);
    for (int64 c = 0; c < C; ++c) {
      const double x = load(op.x, {n, c});
      const double dx = r * (dnormalised(c) - k * x);
      store(op.dweight, {c}, load(op.dweight, {c}) + load(op.dy, {n, c}) * x * r);
      store(op.dx, {n, c}, (op.accumulate ? load(op.dx, {n, c}) : 0) + dx);
    }
  }
}

}  // namespace fovea::reference
