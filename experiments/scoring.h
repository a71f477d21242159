#pragma once

#include <functional>
#include <vector>

#include "experiments/tokens.h"
#include "model/decoder.h"

namespace fovea {

/// What a model says of sequences (B, T).
struct Scores {
  std::vector<float> logprobs;  ///< (B, T - 1), of each token after the first
  double loss = 0;              ///< -mean(logprobs), nat/token; NaN where T is 1
  Buffer gradients;             ///< of the loss by the weights, flat in the decoder's layout; where asked for
};

struct ScoreRequest {
  bool gradients = false;
  /// Called with the logits (T, V) of each sequence in turn, if it is set.
  std::function<void(const View& logits)> logits = {};
};

/// Reads sequences one at a time: one sequence's activations, and its logits only where they are asked for,
/// bound the memory. weights: flat in the decoder's layout, f32 or f64, in which all is computed.
Scores compute_scores(const Decoder& decoder, const View& weights, const Tokens& tokens, Stream& stream,
                      const ScoreRequest& request);

}  // namespace fovea
