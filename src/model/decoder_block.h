#pragma once

#include "model/mlp.h"
#include "model/self_attention.h"

namespace fovea {

/// One layer of a decoder on the residual stream x (N, C):
///   sequential:  middle = x + attention(norm1(x)),  y = middle + mlp(norm2(middle))
///   parallel:    middle = x + attention(norm1(x)),  y = middle + mlp(norm2(x))          (Black et al. 2022)
/// with another norm on each branch where the shape has post-norms (Gemma 2), and dropout on each branch.
class DecoderBlock {
 public:
  DecoderBlock(ParameterLayout& layout, const DecoderShape& shape, int64 layer);

  /// Fills the slots that are empty.
  void fill(const StepContext& context, const RopeTables& tables, const View& x, Saved& saved) const;
  /// y (N, C) from full slots.
  void finish(const StepContext& context, Saved& saved, const View& y) const;
  /// dx comes as the gradient by y and leaves as the gradient by x, (N, C) residual. Every slot is full.
  void backward(const StepContext& context, const RopeTables& tables, const View& x, const Saved& saved,
                const View& dx) const;

 private:
  struct Branch {
    Norm norm, post_norm;
    Slot slot;  ///< of the branch's output, read by the post-norm
    int64 site;
  };
  void fill_branch(const StepContext& context, const Branch& branch, Saved& saved, int64 rows,
                   FunctionRef<void(const View&)> project) const;
  void add_branch(const StepContext& context, const Branch& branch, const Saved& saved, const View& x,
                  const View& out, FunctionRef<void(const View&)> project) const;
  View branch_gradient(const StepContext& context, const Branch& branch, const Saved& saved, const View& dx,
                       Block& storage) const;

  std::string name_;
  int64 width_;
  bool parallel_, post_norms_;
  SelfAttention attention_;
  Mlp mlp_;
  Branch attention_branch_, mlp_branch_;
};

}  // namespace fovea
