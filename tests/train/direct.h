#pragma once

#include <memory>
#include <utility>

#include "data/dataset.h"
#include "kernels/reduce/reduce.h"
#include "model/decoder.h"
#include "train/plan.h"

namespace fovea {

/// A decoder run on one batch of any size by itself, without grains, plans of a run or a trainer: what a
/// trainer's results are compared with.
class Direct {
 public:
  Direct(const Decoder& decoder, const Config& config, Backend backend)
      : decoder_(decoder),
        config_(config),
        precision_(precision_of(config.train, backend)),
        stream_(backend),
        gradients_(precision_.wide, {decoder.layout().elements()}),
        compute_(precision_.compute, {decoder.layout().elements()}) {}

  /// Adds up to the sum of losses of the batch's scored tokens.
  double losses(const View& weights, const Batch& batch) {
    const Buffer losses(precision_.wide, {batch.rows * batch.length});
    walk(weights, batch, {}, 0, [&](const StepContext& context) { decoder_.losses(context, losses); });
    return total(losses);
  }
  /// The same, and the gradient of gradient_scale times that sum.
  double train(const View& weights, const Batch& batch, double gradient_scale, uint64 first_row = 0) {
    fill_zero(stream_, gradients_);
    const Buffer losses(precision_.wide, {batch.rows * batch.length});
    walk(weights, batch, gradients_, first_row,
         [&](const StepContext& context) { decoder_.train(context, losses, gradient_scale, {}); });
    return total(losses);
  }
  const View& gradients() const { return gradients_; }

 private:
  template <class Run>
  void walk(const View& weights, const Batch& batch, const View& gradients, uint64 first_row, Run run) {
    convert(stream_, compute_, weights);
    const int64 n = batch.rows * batch.length;
    const auto indices = [n](const std::vector<int32>& from) {
      Buffer buffer(DType::i32, {n});
      std::copy(from.begin(), from.end(), buffer.view().data<int32>());
      return buffer;
    };
    const Buffer tokens = indices(batch.tokens), targets = indices(batch.targets),
                 positions = indices(batch.positions);
    std::shared_ptr<const DocumentBounds> documents;
    if (!batch.documents.empty())
      documents = std::make_shared<const DocumentBounds>(DocumentBounds{batch.documents, batch.documents});
    Arena arena;
    const auto context = [&](Stream& stream) {
      return StepContext{.stream = stream,
                         .arena = arena,
                         .layout = decoder_.layout(),
                         .precision = precision_,
                         .weights = weights,
                         .compute_weights = compute_,
                         .gradients = gradients,
                         .batch = {batch.rows, batch.length, tokens, targets, positions, documents},
                         .dropout = gradients ? decoder_.shape().dropout : 0,
                         .seed = static_cast<uint64>(config_.train.seed),
                         .first_row = first_row};
    };
    Stream planning(stream_.backend(), 1, Stream::Mode::plan);
    run(context(planning));
    const MemoryPlan plan = arena.plan();
    const Buffer memory(plan.bytes);
    arena.replay(plan, memory);
    arena.rewind();
    run(context(stream_));
    stream_.synchronize();
  }
  static double total(const View& losses) {
    double sum = 0;
    for (int64 i = 0; i < losses.elements(); ++i) sum += load(losses, {i});
    return sum;
  }

  const Decoder& decoder_;
  const Config& config_;
  Precision precision_;
  Stream stream_;
  Buffer gradients_, compute_;
};

}  // namespace fovea
