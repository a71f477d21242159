#include "kernels/attention/cudnn/support.h"

#include <cmath>

#include "core/error.h"
#include "kernels/attention/cuda/prepare.h"

namespace fovea::cudnn {
namespace {

constexpr int64 kMostRows = int64{1} << 24;  // whole numbers of f32, in which the kernels place a window

SequenceMask mask_of(const AttentionProblem& p) {
  return sequence_mask(p.mask, p.q_len, p.kv_len, p.first_position());
}

std::string why_not_these_heads(const AttentionProblem& p, const Capability& c) {
  if (p.qk_dim % 8 != 0 || p.v_dim % 8 != 0)
    return fmt::format("head sizes {} and {}: cuDNN takes multiples of 8", p.qk_dim, p.v_dim);
  const int64 most = c.major == 9 ? 256 : 128;
  if (p.qk_dim <= most && p.v_dim <= most) return {};
  if (c.major == 10 && p.qk_dim == 192 && p.v_dim == 128) return {};
  if (c.major == 10 && c.version >= 92300 && p.qk_dim == 256 && p.v_dim == 256) return {};
  return fmt::format("head sizes {} and {}: cuDNN's backward pass takes up to {} on compute capability {}.{}",
                     p.qk_dim, p.v_dim, most, c.major, c.minor);
}

// x may be an absent operand.
bool lies_well(const View& x) {
  if (!cuda::rows_of_16_bytes(x)) return false;
  for (int axis = 0; axis < 3; ++axis)
    if (x.size(axis) > 1 && x.stride(axis) < x.size(3)) return false;  // broadcast, or back to front
  return true;
}

template <class Op>
Support takes_inputs(const Op& op, std::initializer_list<const View*> more) {
  if (op.sink) return {false, "sinks are not given to cuDNN: its gradient of them has not been checked here"};
  if (!op.lse.contiguous()) return {false, "cuDNN's backward pass reads lse without gaps alone"};
  for (const View* x : {&op.q, &op.k, &op.v, &op.out})
    if (!lies_well(*x)) return {false, "cuDNN takes rows that start at multiples of 16 bytes"};
  for (const View* x : more)
    if (!lies_well(*x)) return {false, "cuDNN takes rows that start at multiples of 16 bytes"};
  return {};
}

}  // namespace

Support supports(const AttentionProblem& p, const Capability& c) {
  if (p.dtype != DType::bf16 && p.dtype != DType::f16)
    return {false, fmt::format("cuDNN's attention computes in bf16 and f16, not in {}", name_of(p.dtype))};
  if (p.mask.documents)
    return {false, "packed documents: cuDNN plans for the lengths, which every batch changes"};
  if (p.batch == 0) return {false, "cuDNN takes no attention of no batch rows"};
  if (p.q_len > kMostRows || p.kv_len > kMostRows)
    return {false, fmt::format("cuDNN counts positions in f32: up to {} rows", kMostRows)};
  if (std::string why = why_not_these_heads(p, c); !why.empty()) return {false, why};
  if (p.softcap > 0)
    return {false, "a softcap: cuDNN takes it as a score modifier only, which excludes its masks"};
  if (!std::isfinite(p.scale) || p.scale <= 0)
    return {false, "cuDNN does not say that its kernels are right for a scale that is not positive"};
  BandSearch search = find_band(mask_of(p));
  if (!search.band) return {false, search.why_not};
  if (p.kv_len == 1) return {false, "cuDNN has no backward pass of a single key"};
  if (search.band->left && p.q_len > p.kv_len)
    return {false, "cuDNN has no backward pass of a window over fewer keys than queries"};
  return {};
}

Band band_of(const AttentionProblem& p) {
  BandSearch search = find_band(mask_of(p));
  FOVEA_CHECK(search.band, "no band: {}", search.why_not);
  return *search.band;
}

Support takes(const AttentionForward& op) { return takes_inputs(op, {}); }

Support takes(const AttentionBackward& op) {
  if (op.accumulate) return {false, "cuDNN overwrites gradients, and cannot add to them"};
  return takes_inputs(op, {&op.dout, &op.dq, &op.dk, &op.dv});
}

bool ends_within_a_tile(const AttentionProblem& p) { return p.q_len % 128 != 0 || p.kv_len % 128 != 0; }

int64 most_workspace_bytes(const AttentionProblem& p, Pass pass) {
  const int64 heads = p.batch * p.q_heads, slack = 1024;
  if (pass == Pass::forward) {
    constexpr int64 kSplits = 32;  // few queries: the keys are cut, each part has its out, maximum and sum
    return slack + (p.q_len <= 128 ? kSplits * heads * p.q_len * (p.v_dim + 2) * 4 : 0);
  }
  const int64 scores = heads * round_up(p.q_len, 64) * round_up(p.kv_len, 128);
  const int64 every_head = p.group() > 1 ? heads * p.kv_len * (p.qk_dim + p.v_dim) : 0;
  return slack + 2 * scores + 4 * heads * p.q_len + 4 * every_head;
}

}  // namespace fovea::cudnn
