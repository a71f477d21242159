#pragma once

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/check/case.h"

namespace fovea::check {

/// One attention problem, and how its operands are drawn and lie.
struct AttentionCase {
  std::string name;  ///< letters, digits and underscores
  AttentionProblem problem;
  bool sink = false;
  int64 gap = 0, offset = 0;  ///< elements between heads, and before the first: strides and misalignment
  double gain = 1;            ///< of q and k: how peaked the softmax is
  bool accumulate = false;
};

inline AttentionProblem attention_problem(int64 q_len, int64 kv_len, int64 q_heads, int64 kv_heads,
                                          int64 head_dim, Mask mask = {}) {
  return {.q_len = q_len,
          .kv_len = kv_len,
          .q_heads = q_heads,
          .kv_heads = kv_heads,
          .qk_dim = head_dim,
          .v_dim = head_dim,
          .mask = std::move(mask),
          .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(head_dim)))};
}

inline Mask document_mask(std::vector<int64> q, std::vector<int64> k, Mask mask = causal_mask()) {
  mask.documents = std::make_shared<DocumentBounds>(DocumentBounds{std::move(q), std::move(k)});
  return mask;
}

/// Places of the operands of attention_call().
enum Place : size_t { kQ, kK, kV, kSink, kDout, kOut, kLse, kDq, kDk, kDv, kDsink, kPlaces };

/// Forward and backward as one call.
Case attention_call(const AttentionCase& c, DType dtype, uint64 seed = 1);

}  // namespace fovea::check
