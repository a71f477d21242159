#pragma once

#include <functional>
#include <vector>

#include "core/buffer.h"
#include "model/decoder_block.h"
#include "model/recompute.h"

namespace fovea {

/// What a forward with its backward holds: empty between steps, and kept for the next.
struct StepBuffers {
  std::vector<Block> x;      ///< (N, C) residual: what block l reads, and last what the head reads
  std::vector<Saved> saved;  ///< of each block
};

/// A decoder-only transformer: embedding, blocks, final norm, linear head (tied or not) with cross-entropy.
/// It owns no weights: a StepContext brings them.
class Decoder {
 public:
  /// Reads sequences of up to `length` tokens (0: shape.context), the length in use for the types of RoPE
  /// that go by it. `wide` is the dtype of the RoPE tables, which lie on `device`.
  explicit Decoder(const DecoderShape& shape, int64 length = 0, DType wide = DType::f32,
                   Device device = Device::cpu);

  const DecoderShape& shape() const { return shape_; }
  const ParameterLayout& layout() const { return layout_; }
  int64 table_bytes() const { return cosine_.bytes() + sine_.bytes(); }

  /// Looks at what a block saved in its forward, before the block's output is made of it. What it alters is
  /// altered for all that comes: tests plant what is not finite.
  using BlockVisitor = std::function<void(int64 layer, const Saved& saved)>;

  /// losses (N) wide: cross-entropy of each row in nats, 0 where the target is -1. Keeps nothing. Here and in
  /// train() the visitor is called for each block in turn, on a stream that computes; never on one that
  /// plans.
  void losses(const StepContext& context, const View& losses, const BlockVisitor& visit = {}) const;
  /// logits (N, V) wide.
  void logits(const StepContext& context, const View& logits) const;
  /// The same losses; adds the gradients of gradient_scale * sum(losses) to context.gradients. The policy
  /// changes memory and time, no bit of the results.
  void train(const StepContext& context, const View& losses, double gradient_scale,
             const RecomputePolicy& policy, const BlockVisitor& visit = {}) const;
  /// What each slot of each block costs, measured by filling it on a planning stream with a recording arena.
  std::vector<SlotCost> slot_costs(const StepContext& context) const;

 private:
  RopeTables tables() const { return {cosine_, sine_}; }
  ParameterId head() const { return head_ == kNoParameter ? embed_ : head_; }
  Block embed(const StepContext& context) const;
  /// y (N, C) of block `layer`.
  void forward(const StepContext& context, size_t layer, const View& x, Saved& saved, const View& y,
               const BlockVisitor& visit) const;
  /// The last residual stream, nothing else kept.
  Block run_forward(const StepContext& context, const BlockVisitor& visit = {}) const;

  DecoderShape shape_;
  ParameterLayout layout_;
  ParameterId embed_ = kNoParameter, position_ = kNoParameter, head_ = kNoParameter;
  std::vector<DecoderBlock> blocks_;
  Norm final_norm_;
  Buffer cosine_, sine_;  // (P, R / 2)
};

}  // namespace fovea
