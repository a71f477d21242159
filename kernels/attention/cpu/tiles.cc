#include "kernels/attention/cpu/tiles.h"

#include <algorithm>

#include "kernels/simd/instruction_set.h"

namespace fovea::flash {

int64 tile_width(const AttentionProblem& problem) {
  return problem.dtype == DType::bf16 && has_bf16_dot() ? 2 : 1;
}

int64 shared_keys(const AttentionProblem& problem, int64 heads) {
  constexpr int64 kCache = 256 * 1024, kFewest = 16;
  const int64 key_bytes = heads * (problem.qk_dim + problem.v_dim) * size_of(problem.dtype);
  return std::clamp(kCache / std::max<int64>(1, key_bytes) / kFewest * kFewest, kFewest, kKeys);
}

int64 key_block(const AttentionProblem& problem) {
  constexpr int64 kCache = 512 * 1024, kMost = 512;
  const int64 width = tile_width(problem);
  const int64 key_bytes = (elements(problem.qk_dim, width) + elements(problem.v_dim, width) +
                           padded(problem.qk_dim) + padded(problem.v_dim)) *
                          4;
  return std::clamp(kCache / key_bytes / kKeys * kKeys, kKeys, kMost);
}

}  // namespace fovea::flash
