#include <cmath>

#include "kernels/rope/backends.h"

namespace fovea::reference {

void run(Execution&, const Rope& op) {
  const int64 N = op.x.size(0), H = op.x.size(1), D = op.x.size(2), P = op.cosine.size(0);
  const int64 planes = op.cosine.size(1);
  for (int64 n = 0; n < N; ++n) {
    const int64 p = op.positions.data<int32>()[n];
    FOVEA_CHECK(0 <= p && p < P, "rope: position {} in a table of {}", p, P);
    for (int64 h = 0; h < H; ++h) {
      for (int64 i = 0; i < planes; ++i) {
        const int64 first = op.interleaved ? 2 * i : i, second = op.interleaved ? 2 * i + 1 : i + planes;
        const double a = load(op.x, {n, h, first}), b = load(op.x, {n, h, second});
        const double cosine = load(op.cosine, {p, i}), sine = (op.inverse ? -1 : 1) * load(op.sine, {p, i});
        store(op.y, {n, h, first}, a * cosine - b * sine);
        store(op.y, {n, h, second}, b * cosine + a * sine);
      }
      for (int64 d = 2 * planes; d < D; ++d) store(op.y, {n, h, d}, load(op.x, {n, h, d}));
    }
  }
}

void run(Execution& execution, const RopeTable& op) {
  const int64 P = op.cosine.size(0), planes = op.cosine.size(1);
  constexpr int64 kRows = 64;
  execution.parallel_for(ceil_div(P, kRows), [&](int64 part, int) {
    for (int64 p = part * kRows; p < P && p < (part + 1) * kRows; ++p)
      for (int64 i = 0; i < planes; ++i) {
        const double angle = static_cast<double>(p) * op.frequencies[static_cast<size_t>(i)];
        store(op.cosine, {p, i}, op.multiplier * std::cos(angle));
        store(op.sine, {p, i}, op.multiplier * std::sin(angle));
      }
  });
}

}  // namespace fovea::reference
