#include "model/decoder.h"

#include "core/host_copy.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/embedding/embedding.h"
#include "kernels/rope/rope.h"
#include "model/rope.h"

namespace fovea {

Decoder::Decoder(const DecoderShape& shape, int64 length, DType wide, Device device) : shape_(shape) {
  embed_ = layout_.add_matrix("embed.weight", shape.vocab, shape.width, shape.init_std, shape.tie_embeddings);
  if (shape.position == PositionKind::learned)
    position_ = layout_.add_matrix("position.weight", shape.context, shape.width, shape.init_std);
  for (int64 layer = 0; layer < shape.layers; ++layer) blocks_.emplace_back(layout_, shape, layer);
  final_norm_ = add_norm(layout_, "final_norm", shape.norm, shape.width);
  if (!shape.tie_embeddings)
    head_ = layout_.add_matrix("head.weight", shape.vocab, shape.width, shape.init_std, true);
  if (shape.position == PositionKind::rope && shape.rope.dims > 0) {
    const int64 p = length > 0 ? length : shape.context;
    cosine_ = Buffer(wide, {p, shape.rope.dims / 2}, device);
    sine_ = Buffer(wide, {p, shape.rope.dims / 2}, device);
    const HostCopy cosine(cosine_, HostCopy::Fetch::never), sine(sine_, HostCopy::Fetch::never);
    Stream stream(wide == DType::f64 ? Backend::reference : Backend::cpu);
    const RopeFrequencies frequencies = rope_frequencies(shape.rope, p);
    rope_table(stream, {.cosine = cosine,
                        .sine = sine,
                        .frequencies = frequencies.radians,
                        .multiplier = frequencies.multiplier});
    cosine.store();
    sine.store();
  }
}

Block Decoder::embed(const StepContext& context) const {
  Block x = context.take("x", context.precision.residual, {context.batch.rows(), shape_.width});
  embedding(context.stream, {.tokens = context.batch.tokens,
                             .positions = context.batch.positions,
                             .table = context.master(embed_),
                             .position_table = context.master(position_),
                             .out = x,
                             .scale = shape_.embedding_scale,
                             .dropout = context.dropout_at(0)});
  context.look("embed", "", x);
  return x;
}

void Decoder::forward(const StepContext& context, size_t layer, const View& x, Saved& saved, const View& y,
                      const BlockVisitor& visit) const {
  blocks_[layer].fill(context, tables(), x, saved);
  if (visit && !context.stream.planning()) {
    context.stream.synchronize();
    visit(static_cast<int64>(layer), saved);
  }
  blocks_[layer].finish(context, saved, y);
}

Block Decoder::run_forward(const StepContext& context, const BlockVisitor& visit) const {
  Block x = embed(context);
  for (size_t layer = 0; layer < blocks_.size(); ++layer) {
    Block y = context.take("x", context.precision.residual, {context.batch.rows(), shape_.width});
    Saved saved;
    forward(context, layer, x, saved, y, visit);
    x = std::move(y);
  }
  return x;
}

void Decoder::losses(const StepContext& context, const View& losses, const BlockVisitor& visit) const {
  const Block x = run_forward(context, visit);
  Saved saved;
  final_norm_.forward(context, x, saved, Slot::norm1);
  linear_cross_entropy(context.stream, {.hidden = saved(Slot::norm1),
                                        .weight = context.matrix(head()),
                                        .bias = {},
                                        .targets = context.batch.targets,
                                        .losses = losses,
                                        .dhidden = {},
                                        .dweight = {},
                                        .dbias = {},
                                        .softcap = shape_.logit_softcap});
}

void Decoder::logits(const StepContext& context, const View& logits) const {
  const Block x = run_forward(context);
  Saved saved;
  final_norm_.forward(context, x, saved, Slot::norm1);
  linear_logits(context.stream, {.hidden = saved(Slot::norm1),
                                 .weight = context.matrix(head()),
                                 .bias = {},
                                 .logits = logits,
                                 .softcap = shape_.logit_softcap});
}

void Decoder::train(const StepContext& context, const View& losses, double gradient_scale,
                    const RecomputePolicy& policy, const BlockVisitor& visit) const {
  const Precision& precision = context.precision;
  const int64 n = context.batch.rows(), c = shape_.width;
  const size_t layers = blocks_.size();

  StepBuffers own;
  StepBuffers& buffers = context.buffers ? *context.buffers : own;
  buffers.x.resize(layers + 1);
  buffers.saved.resize(layers);
  std::vector<Block>& x = buffers.x;
  std::vector<Saved>& saved = buffers.saved;
  x[0] = embed(context);
  for (size_t l = 0; l < layers; ++l) {
    x[l + 1] = context.take("x", precision.residual, {n, c});
    forward(context, l, x[l], saved[l], x[l + 1], visit);
    saved[l].drop(policy.drops(static_cast<int64>(l)));
  }

  Block dx = context.take("dx", precision.residual, {n, c});
  {
    Saved last;
    final_norm_.forward(context, x[layers], last, Slot::norm1);
    Block dhidden = context.take("dhidden", precision.compute, {n, c});
    linear_cross_entropy(context.stream, {.hidden = last(Slot::norm1),
                                          .weight = context.matrix(head()),
                                          .bias = {},
                                          .targets = context.batch.targets,
                                          .losses = losses,
                                          .dhidden = dhidden,
                                          .dweight = context.gradient(head()),
                                          .dbias = {},
                                          .softcap = shape_.logit_softcap,
                                          .gradient_scale = gradient_scale,
                                          .accumulate_dweight = !context.first_gradients});
    // hidden = final_norm(x)
    final_norm_.backward(context, x[layers], last(Slot::norm1, 1), last(Slot::norm1, 2), dhidden, dx, false);
  }
  context.look("head", " backward", dx);

  for (size_t l = layers; l-- > 0;) {
    x[l + 1].release();
    blocks_[l].fill(context, tables(), x[l], saved[l]);  // replay of what was dropped
    blocks_[l].backward(context, tables(), x[l], saved[l], dx);
    saved[l].drop(SlotSet::all());
  }
  embedding_backward(context.stream, {.tokens = context.batch.tokens,
                                      .positions = context.batch.positions,
                                      .dout = dx,
                                      .dtable = context.gradient(embed_),
                                      .dposition_table = context.gradient(position_),
                                      .scale = shape_.embedding_scale,
                                      .dropout = context.dropout_at(0)});
  x[0].release();
}

std::vector<SlotCost> Decoder::slot_costs(const StepContext& context) const {
  std::vector<SlotCost> costs;
  const Block x = context.take("x", context.precision.residual, {context.batch.rows(), shape_.width});
  for (size_t l = 0; l < blocks_.size(); ++l) {
    Saved saved;
    blocks_[l].fill(context, tables(), x, saved);
    for (size_t i = 0; i < kSlots; ++i) {
      const auto slot = static_cast<Slot>(i);
      if (!saved.holds(slot)) continue;
      const double before = context.stream.flops();
      const int64 bytes = saved.bytes(slot);
      saved.drop(slot);
      blocks_[l].fill(context, tables(), x, saved);
      costs.push_back({static_cast<int64>(l), slot, context.stream.flops() - before, bytes});
    }
  }
  return costs;
}

}  // namespace fovea
