#include "kernels/attention/cuda/forward_plan.h"

#include <algorithm>

#include "core/error.h"
#include "core/stream.h"

namespace fovea::cuda {
namespace {

// About two blocks for each multiprocessor of the devices of today; a constant, since bits depend on it.
constexpr int64 kBlocksWanted = 256;
constexpr int64 kMostSplits = 64;
// With fewer blocks than this and as many keys as this, keys are cut though rows of queries are many.
constexpr int64 kFewBlocks = 64, kManyKeys = 1024;

const ForwardKernels& kernels_for(const AttentionProblem& p) {
  for (const ForwardKernels* kernels :
       {&kForward32, &kForward64, &kForward96, &kForward128, &kForward192x128, &kForward192, &kForward256})
    if (p.qk_dim <= kernels->qk_dim && p.v_dim <= kernels->v_dim) return *kernels;
  FOVEA_CHECK(false, "no kernel for heads of {} and {}", p.qk_dim, p.v_dim);
}

struct Longest {
  int64 q = 0, k = 0;
};
Longest longest_sequence(const AttentionProblem& p) {
  if (!p.mask.documents) return {p.q_len, p.kv_len};
  Longest longest;
  for (const AttentionSequence& sequence : sequences_of(p))
    longest = {std::max(longest.q, sequence.q.size()), std::max(longest.k, sequence.k.size())};
  return longest;
}

// The most keys that a tile of so many rows sees.
int64 most_keys(const AttentionProblem& p, const Longest& longest, int64 rows) {
  const int64 right = p.mask.causal ? 0 : p.mask.right;
  if (p.mask.left < 0 || right < 0 || p.mask.left > longest.k || right > longest.k) return longest.k;
  return std::min(longest.k, p.mask.left + right + 1 + ceil_div(rows, p.group()));
}

int splits_for(int64 blocks, int64 key_tiles) {
  constexpr int64 kLeastTiles = 2;  // of a part
  if (blocks == 0 || key_tiles < 2 * kLeastTiles) return 1;
  return static_cast<int>(
      std::clamp(std::min(kBlocksWanted / blocks, key_tiles / kLeastTiles), int64{1}, kMostSplits));
}

}  // namespace

ForwardPlan::ForwardPlan(const AttentionProblem& p)
    : kernel(nullptr), documents(p, Side::queries, 1), rows(p.batch * p.q_len * p.q_heads) {
  const ForwardKernels& kernels = kernels_for(p);
  const Element element = p.dtype == DType::bf16 ? kBf16 : kF16;
  const Longest longest = longest_sequence(p);
  const auto cut = [&](const ForwardKernel& with) {
    kernel = &with;
    documents = DocumentTables(p, Side::queries, with.rows, p.group());
    tiles = p.mask.documents ? documents.tiles() : ceil_div(p.q_len * p.group(), with.rows);
    blocks = tiles * p.kv_heads * p.batch;
  };
  cut(kernels.many[element]);
  const bool few =
      longest.q * p.group() <= kernels.few[element].rows || (blocks < kFewBlocks && longest.k >= kManyKeys);
  if (!few) return;
  cut(kernels.few[element]);
  splits = splits_for(blocks, ceil_div(most_keys(p, longest, kernel->rows), kernel->keys));
  blocks *= splits;
}

int64 ForwardPlan::scratch_bytes(const AttentionProblem& p) const {
  return scratch_size<int>(documents.ints()) + scratch_size<float>(partials() * p.v_dim) +
         scratch_size<float>(partials());
}

}  // namespace fovea::cuda
