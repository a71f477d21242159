#include "model/self_attention.h"

#include <cmath>

#include "kernels/rope/rope.h"

namespace fovea {

SelfAttention::SelfAttention(ParameterLayout& layout, const std::string& name, const DecoderShape& shape,
                             int64 layer)
    : head_dim_(shape.head_dim),
      qk_norm_(shape.qk_norm),
      rotary_(shape.position == PositionKind::rope && shape.rope.dims > 0),
      interleaved_(shape.rope.interleaved),
      scale_(shape.attention_scale),
      softcap_(shape.attention_softcap),
      mask_(shape.masks[static_cast<size_t>(layer)]) {
  const int64 c = shape.width, d = head_dim_, kv_heads = shape.kv_heads[static_cast<size_t>(layer)];
  const auto add_heads = [&](const char* which, int64 count) {
    Heads heads;
    heads.count = count;
    heads.project = add_linear(layout, name + "." + which, c, count * d, shape.qkv_bias, shape.init_std);
    if (qk_norm_)
      heads.norm = add_norm(layout, name + "." + which + "_norm",
                            {NormKind::rms_norm, shape.norm.epsilon, shape.norm.weight_offset}, d);
    return heads;
  };
  q_ = add_heads("q", shape.q_heads);
  k_ = add_heads("k", kv_heads);
  v_ = add_linear(layout, name + ".v", c, kv_heads * d, shape.qkv_bias, shape.init_std);
  // What adds to the residual stream starts smaller, by the number of such additions (Radford et al.
  // 2019, 2.3).
  const double residual_std = shape.init_std / std::sqrt(2.0 * static_cast<double>(shape.layers));
  out_ = add_linear(layout, name + ".out", shape.q_heads * d, c, shape.out_bias, residual_std);
}

AttentionProblem SelfAttention::problem(const StepContext& context) const {
  const TokenBatch& batch = context.batch;
  AttentionProblem p;
  p.batch = batch.documents ? 1 : batch.sequences;
  p.q_len = p.kv_len = batch.documents ? batch.rows() : batch.length;
  p.q_heads = q_.count;
  p.kv_heads = k_.count;
  p.qk_dim = p.v_dim = head_dim_;
  p.dtype = context.precision.compute;
  p.mask = mask_;
  p.mask.documents = batch.documents;
  p.scale = scale_;
  p.softcap = softcap_;
  return p;
}

View SelfAttention::heads_of(const StepContext& context, const View& x, int64 heads) const {
  const AttentionProblem p = problem(context);
  return x.reshape({p.batch, p.q_len, heads, head_dim_});
}

void SelfAttention::rotate(const StepContext& context, const RopeTables& tables, int64 heads, const View& x,
                           bool inverse) const {
  if (!rotary_) return;
  const View rows = x.reshape({x.size(0), heads, head_dim_});
  rope(context.stream, {.x = rows,
                        .positions = context.batch.positions,
                        .cosine = tables.cosine,
                        .sine = tables.sine,
                        .y = rows,
                        .interleaved = interleaved_,
                        .inverse = inverse});
}

void SelfAttention::project_heads(const StepContext& context, const RopeTables& tables, const Heads& heads,
                                  const View& n, Saved& saved, Slot raw, Slot slot) const {
  const DType compute = context.precision.compute, wide = context.precision.wide;
  const int64 rows = n.size(0), width = heads.count * head_dim_;
  if (!qk_norm_) {
    saved.fill(context, slot, {{"heads", compute, {rows, width}}}, [&] {
      heads.project.forward(context, n, saved(slot));
      rotate(context, tables, heads.count, saved(slot), false);
    });
    return;
  }
  saved.fill(context, raw, {{"raw heads", compute, {rows, width}}},
             [&] { heads.project.forward(context, n, saved(raw)); });
  saved.fill(context, slot, {{"heads", compute, {rows, width}}, {"inverse rms", wide, {rows * heads.count}}},
             [&] {
               const int64 vectors = rows * heads.count;
               heads.norm.forward(context, saved(raw).reshape({vectors, head_dim_}),
                                  saved(slot).reshape({vectors, head_dim_}), saved(slot, 1), {});
               rotate(context, tables, heads.count, saved(slot), false);
             });
}

void SelfAttention::forward(const StepContext& context, const RopeTables& tables, const View& n,
                            Saved& saved) const {
  const DType compute = context.precision.compute;
  const int64 rows = n.size(0);
  project_heads(context, tables, q_, n, saved, Slot::q_raw, Slot::q);
  project_heads(context, tables, k_, n, saved, Slot::k_raw, Slot::k);
  saved.fill(context, Slot::v, {{"v", compute, {rows, k_.count * head_dim_}}},
             [&] { v_.forward(context, n, saved(Slot::v)); });

  const AttentionProblem p = problem(context);
  saved.fill(context, Slot::attended,
             {{"attended", compute, {rows, q_.count * head_dim_}},
              {"lse", context.precision.wide, {p.batch, p.q_heads, p.q_len}}},
             [&] {
               attention(context.stream, {.problem = p,
                                          .q = heads_of(context, saved(Slot::q), q_.count),
                                          .k = heads_of(context, saved(Slot::k), k_.count),
                                          .v = heads_of(context, saved(Slot::v), k_.count),
                                          .sink = {},
                                          .out = heads_of(context, saved(Slot::attended), q_.count),
                                          .lse = saved(Slot::attended, 1)});
             });
}

void SelfAttention::project(const StepContext& context, const Saved& saved, const View& branch) const {
  out_.forward(context, saved(Slot::attended), branch);
}

void SelfAttention::heads_backward(const StepContext& context, const RopeTables& tables, const Heads& heads,
                                   const Saved& saved, Slot raw, Slot slot, const View& dheads) const {
  // slot = rotate(norm(raw))
  rotate(context, tables, heads.count, dheads, true);
  if (!qk_norm_) return;
  const int64 vectors = dheads.size(0) * heads.count;
  const View d = dheads.reshape({vectors, head_dim_});
  heads.norm.backward(context, saved(raw).reshape({vectors, head_dim_}), saved(slot, 1), {}, d, d, false);
}

void SelfAttention::backward(const StepContext& context, const RopeTables& tables, const View& n,
                             const Saved& saved, const View& dbranch, const View& dn) const {
  const DType compute = context.precision.compute;
  const int64 rows = n.size(0), q_width = q_.count * head_dim_, kv_width = k_.count * head_dim_;
  Block dq = context.take("dq", compute, {rows, q_width});
  Block dk = context.take("dk", compute, {rows, kv_width});
  Block dv = context.take("dv", compute, {rows, kv_width});
  {
    Block dattended = context.take("dattended", compute, {rows, q_width});
    // branch = attended W_out^T
    out_.backward(context, saved(Slot::attended), dbranch, dattended);
    // attended = attention(q, k, v)
    attention_backward(context.stream, {.problem = problem(context),
                                        .q = heads_of(context, saved(Slot::q), q_.count),
                                        .k = heads_of(context, saved(Slot::k), k_.count),
                                        .v = heads_of(context, saved(Slot::v), k_.count),
                                        .sink = {},
                                        .out = heads_of(context, saved(Slot::attended), q_.count),
                                        .lse = saved(Slot::attended, 1),
                                        .dout = heads_of(context, dattended, q_.count),
                                        .dq = heads_of(context, dq, q_.count),
                                        .dk = heads_of(context, dk, k_.count),
                                        .dv = heads_of(context, dv, k_.count),
                                        .dsink = {}});
  }
  heads_backward(context, tables, q_, saved, Slot::q_raw, Slot::q, dq);
  heads_backward(context, tables, k_, saved, Slot::k_raw, Slot::k, dk);
  // raw q = n W_q^T,  raw k = n W_k^T,  v = n W_v^T
  q_.project.backward(context, n, dq, dn);
  k_.project.backward(context, n, dk, dn, true);
  v_.backward(context, n, dv, dn, true);
}

}  // namespace fovea
