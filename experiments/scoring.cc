#include "experiments/scoring.h"

#include <cmath>
#include <optional>

#include "core/host_copy.h"
#include "experiments/sequence_pass.h"

namespace fovea {

Scores compute_scores(const Decoder& decoder, const View& weights, const Tokens& tokens, Stream& stream,
                      const ScoreRequest& request) {
  const int64 length = tokens.length, targets = tokens.targets();
  const DType wide = weights.dtype();
  Scores scores;
  const Buffer losses(wide, {length}, stream.device());
  if (request.gradients) scores.gradients = Buffer(wide, {weights.size(0)}, stream.device());
  SequencePass pass(decoder, weights, scores.gradients, length, stream, [&](const StepContext& context) {
    if (request.gradients)
      decoder.train(context, losses, 1 / static_cast<double>(targets), RecomputePolicy{});
    else
      decoder.losses(context, losses);
  });
  Buffer logits;
  std::optional<SequencePass> logits_pass;
  if (request.logits) {
    logits = Buffer(wide, {length, decoder.shape().vocab}, stream.device());
    logits_pass.emplace(decoder, weights, View(), length, stream,
                        [&](const StepContext& context) { decoder.logits(context, logits); });
  }
  double total = 0;
  scores.logprobs.reserve(static_cast<size_t>(targets));
  for (int64 n = 0; n < tokens.sequences; ++n) {
    const int32* sequence = tokens.values.data() + n * length;
    pass.run(sequence);
    const HostCopy host(losses);
    for (int64 i = 0; i + 1 < length; ++i) {
      scores.logprobs.push_back(static_cast<float>(-load(host, {i})));
      total += load(host, {i});
    }
    if (!logits_pass) continue;
    logits_pass->run(sequence);
    request.logits(HostCopy(logits));
  }
  scores.gradients = to_host(std::move(scores.gradients));
  scores.loss = targets > 0 ? total / static_cast<double>(targets) : NAN;
  return scores;
}

}  // namespace fovea
