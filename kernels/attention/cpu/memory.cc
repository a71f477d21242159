#include "kernels/attention/cpu/memory.h"

#include <algorithm>

namespace fovea::flash {
ForwardMemory::ForwardMemory(Carver& carver, const AttentionProblem& problem, const Units& units) {
  const int64 width = tile_width(problem);
  const int64 E = elements(problem.qk_dim, width), Ev = elements(problem.v_dim, width);
  const int64 keys = round_up(std::min(kKeys, units.most_keys()), width);
  k = carver.floats(keys * E);
  v = carver.floats(keys * Ev);
  rows = carver.floats(kQueries * std::max(E, Ev));
  scores = carver.floats(kKeys * kQueries);
  rescale = carver.floats(kQueries);
  take_own(carver, problem, units);
}

void ForwardMemory::take_own(Carver& carver, const AttentionProblem& problem, const Units& units) {
  const int64 R = round_up(std::min(units.unit_rows(), units.most_rows()), kQueries);
  q = carver.floats(R * elements(problem.qk_dim, tile_width(problem)));
  out = carver.floats(R * padded(problem.v_dim));
  most = carver.floats(R);
  sum = carver.floats(R);
  first = carver.ints(R);
  last = carver.ints(R);
  seen = carver.seen(R / kQueries);
}

ForwardMemories::ForwardMemories(Carver& carver, const AttentionProblem& problem, const Units& units) {
  heads[0] = ForwardMemory(carver, problem, units);
  for (int64 h = 1; h < units.heads(); ++h) {
    heads[h] = heads[0];
    heads[h].take_own(carver, problem, units);
  }
}

BackwardMemory::BackwardMemory(Carver& carver, const AttentionProblem& problem, const Units& units) {
  const int64 width = tile_width(problem);
  const int64 D = padded(problem.qk_dim), Dv = padded(problem.v_dim);
  const int64 E = elements(problem.qk_dim, width), Ev = elements(problem.v_dim, width);
  const int64 R = round_up(units.most_rows(), kQueries);
  const int64 keys = round_up(std::min(key_block(problem), units.most_keys()), width);
  k = carver.floats(keys * E);
  v = carver.floats(keys * Ev);
  k_across = width == 1 ? k : carver.floats(keys / width * D);
  dk = carver.floats(keys * D);
  dv = carver.floats(keys * Dv);
  q_rows = carver.floats(kQueries / width * D);
  dout_rows = carver.floats(kQueries / width * Dv);
  q = carver.floats(kQueries * E);
  dout = carver.floats(kQueries * Ev);
  out = carver.floats(kQueries * Ev);
  rows = carver.floats(kQueries * std::max(E, Ev));
  s = carver.floats(kKeys * kQueries);
  dp = carver.floats(kKeys * kQueries);
  p = width == 1 ? s : carver.floats(kKeys * kQueries / width);
  ds = width == 1 ? dp : carver.floats(kKeys * kQueries / width);
  ds_across = width == 1 ? dp : carver.floats(kKeys / width * kQueries);
  slope = problem.softcap > 0 ? carver.floats(kKeys * kQueries) : nullptr;
  lse = carver.floats(R);
  delta = carver.floats(R);
  met = carver.ints(R / kQueries);
  first = carver.ints(R);
  last = carver.ints(R);
  seen = carver.seen(R / kQueries);
  dq = units.key_parts() == 1 ? carver.floats(R * D) : nullptr;
}

}  // namespace fovea::flash
