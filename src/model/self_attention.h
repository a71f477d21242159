#pragma once

#include "kernels/attention/attention.h"
#include "model/linear.h"
#include "model/norm.h"

namespace fovea {

/// RoPE's tables, shared by all layers: (P, R / 2) each.
struct RopeTables {
  View cosine, sine;
};

/// Multi-head attention of a sequence to itself, GQA and MQA by head counts: from the normed input to the
/// concatenated heads, and their projection.
class SelfAttention {
 public:
  SelfAttention(ParameterLayout& layout, const std::string& name, const DecoderShape& shape, int64 layer);

  /// Fills q_raw, k_raw, q, k, v, attended from n (N, C).
  void forward(const StepContext& context, const RopeTables& tables, const View& n, Saved& saved) const;
  /// branch (N, C) compute = attended W^T.
  void project(const StepContext& context, const Saved& saved, const View& branch) const;
  /// dn (N, C) wide is overwritten with the gradient by n, from dbranch (N, C) compute.
  void backward(const StepContext& context, const RopeTables& tables, const View& n, const Saved& saved,
                const View& dbranch, const View& dn) const;

 private:
  struct Heads {
    Linear project;
    Norm norm;  // of each head, where the shape has QK-norm
    int64 count;
  };
  void project_heads(const StepContext& context, const RopeTables& tables, const Heads& heads, const View& n,
                     Saved& saved, Slot raw, Slot slot) const;
  void heads_backward(const StepContext& context, const RopeTables& tables, const Heads& heads,
                      const Saved& saved, Slot raw, Slot slot, const View& dheads) const;
  void rotate(const StepContext& context, const RopeTables& tables, int64 heads, const View& x,
              bool inverse) const;
  AttentionProblem problem(const StepContext& context) const;
  /// (N, H D) as the (B, T, H, D) of the problem: one row of all N where documents bound it.
  View heads_of(const StepContext& context, const View& x, int64 heads) const;

  int64 head_dim_;
  bool qk_norm_, rotary_, interleaved_;
  float scale_, softcap_;
  Mask mask_;
  Heads q_, k_;
  Linear v_, out_;
};

}  // namespace fovea
