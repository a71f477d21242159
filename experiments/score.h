#pragma once

#include <filesystem>
#include <string>

#include "core/stream.h"
#include "experiments/tokens.h"

namespace fovea {

struct ScoreOptions {
  std::filesystem::path tokens, out;
  bool logits = false, gradients = false;
  int64 length = 0;  ///< of the sequences that a file of tokens or text is cut into; 0: the model's context
  Backend backend = Backend::cpu;
  int threads = 1;
};

/// Scores tokens with what open_model() opens at `path`: the dataset `tokens` (B, T) of an HDF5 file, a .bin
/// token file, or else text. Arithmetic is f32 whatever the weights are stored in (reference: f64). Writes an
/// HDF5 file with
///   logprobs    (B, T - 1)  of each next token
///   loss                    -mean(logprobs), nat/token
///   logits      (B, T, V)   if asked for
///   grad_norm               if asked for: the 2-norm of the gradient of loss by all parameters, tied ones
///                           counted once,
///   grads/NAME              and each parameter's, named and shaped as in the model's own files
/// and returns lines that say the loss, the perplexity, and bits per byte where bytes are known. Throws
/// UserError: input for tokens that the model cannot read, usage for one file as both.
std::string score(const std::filesystem::path& path, const ScoreOptions& options);

}  // namespace fovea
