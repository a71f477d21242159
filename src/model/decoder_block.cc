#include "model/decoder_block.h"

namespace fovea {

DecoderBlock::DecoderBlock(ParameterLayout& layout, const DecoderShape& shape, int64 layer)
    : name_(fmt::format("blocks.{}", layer)),
      width_(shape.width),
      parallel_(shape.parallel_residual),
      post_norms_(shape.post_norms),
      attention_(layout, name_ + ".attention", shape, layer),
      mlp_(layout, name_ + ".mlp", shape) {
  const auto branch = [&](const char* which, Slot slot, int64 site) {
    Branch b{.slot = slot, .site = 2 * layer + site};
    b.norm = add_norm(layout, name_ + "." + which + "_norm", shape.norm, shape.width);
    if (post_norms_)
      b.post_norm = add_norm(layout, name_ + "." + which + "_post_norm", shape.norm, shape.width);
    return b;
  };
  attention_branch_ = branch("attention", Slot::attention_branch, 1);
  mlp_branch_ = branch("mlp", Slot::mlp_branch, 2);
}

// The branch's output and its post-norm's statistics, which backward reads.
void DecoderBlock::fill_branch(const StepContext& context, const Branch& branch, Saved& saved, int64 n,
                               FunctionRef<void(const View&)> project) const {
  const DType compute = context.precision.compute, wide = context.precision.wide;
  const int64 c = width_;
  saved.fill(context, branch.slot,
             {{"branch", compute, {n, c}}, {"statistic", wide, {n}}, {"statistic", wide, {n}}}, [&] {
               project(saved(branch.slot));
               Block normed = context.take("normed branch", compute, {n, c});
               branch.post_norm.forward(context, saved(branch.slot), normed, saved(branch.slot, 1),
                                        saved(branch.slot, 2));
             });
}

// out = x + dropout(branch), or x + dropout(post_norm(branch)) from the branch's full slot.
void DecoderBlock::add_branch(const StepContext& context, const Branch& branch, const Saved& saved,
                              const View& x, const View& out, FunctionRef<void(const View&)> project) const {
  Block result = context.take("branch", context.precision.compute, {x.size(0), width_});
  if (!post_norms_) {
    project(result);
  } else {
    branch.post_norm.forward(context, saved(branch.slot), result, saved(branch.slot, 1),
                             saved(branch.slot, 2));
  }
  residual_add(context.stream, {.x = x, .y = result, .out = out, .dropout = context.dropout_at(branch.site)});
}

void DecoderBlock::fill(const StepContext& context, const RopeTables& tables, const View& x,
                        Saved& saved) const {
  attention_branch_.norm.forward(context, x, saved, Slot::norm1);
  attention_.forward(context, tables, saved(Slot::norm1), saved);
  const auto project = [&](const View& branch) { attention_.project(context, saved, branch); };
  if (post_norms_) fill_branch(context, attention_branch_, saved, x.size(0), project);
  saved.fill(context, Slot::middle, {{"middle", context.precision.residual, {x.size(0), x.size(1)}}},
             [&] { add_branch(context, attention_branch_, saved, x, saved(Slot::middle), project); });
  context.look(name_, ".attention", saved(Slot::middle));
  mlp_branch_.norm.forward(context, parallel_ ? x : saved(Slot::middle), saved, Slot::norm2);
  mlp_.forward(context, saved(Slot::norm2), saved);
  if (post_norms_)
    fill_branch(context, mlp_branch_, saved, x.size(0),
                [&](const View& branch) { mlp_.project(context, saved, branch); });
}

void DecoderBlock::finish(const StepContext& context, Saved& saved, const View& y) const {
  add_branch(context, mlp_branch_, saved, saved(Slot::middle), y,
             [&](const View& branch) { mlp_.project(context, saved, branch); });
  context.look(name_, ".mlp", y);
}

// The gradient by the branch's projection, in the compute dtype: dx itself where it is just that.
View DecoderBlock::branch_gradient(const StepContext& context, const Branch& branch, const Saved& saved,
                                   const View& dx, Block& storage) const {
  const DType compute = context.precision.compute;
  if (context.dropout == 0 && !post_norms_ && dx.dtype() == compute) return dx;
  storage = context.take("dbranch", compute, {dx.size(0), dx.size(1)});
  // y = x + dropout(post_norm(branch))
  residual_add_backward(context.stream,
                        {.dout = dx, .dy = storage, .dropout = context.dropout_at(branch.site)});
  if (post_norms_)
    branch.post_norm.backward(context, saved(branch.slot), saved(branch.slot, 1), saved(branch.slot, 2),
                              storage, storage, false);
  return storage;
}

void DecoderBlock::backward(const StepContext& context, const RopeTables& tables, const View& x,
                            const Saved& saved, const View& dx) const {
  const DType wide = context.precision.wide;
  const int64 n = x.size(0), c = x.size(1);
  const auto norm_backward = [&](const Branch& branch, Slot slot, const View& input, const View& dnormed) {
    branch.norm.backward(context, input, saved(slot, 1), saved(slot, 2), dnormed, dx, true);
  };
  Block dnormed2 = context.take("dnorm", wide, {n, c});
  {
    // y = middle + mlp(norm2(middle or x))
    Block storage;
    const View dbranch = branch_gradient(context, mlp_branch_, saved, dx, storage);
    mlp_.backward(context, saved(Slot::norm2), saved, dbranch, dnormed2);
  }
  if (!parallel_) {
    norm_backward(mlp_branch_, Slot::norm2, saved(Slot::middle), dnormed2);
    dnormed2.release();
  }
  Block dnormed1 = context.take("dnorm", wide, {n, c});
  {
    // middle = x + attention(norm1(x))
    Block storage;
    const View dbranch = branch_gradient(context, attention_branch_, saved, dx, storage);
    attention_.backward(context, tables, saved(Slot::norm1), saved, dbranch, dnormed1);
  }
  if (parallel_) norm_backward(mlp_branch_, Slot::norm2, x, dnormed2);
  norm_backward(attention_branch_, Slot::norm1, x, dnormed1);
  context.look(name_, " backward", dx);
}

}  // namespace fovea
