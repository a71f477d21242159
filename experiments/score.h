#pragma once

#include <filesystem>

#include "core/stream.h"
#include "experiments/model_file.h"

namespace fovea {

/// Scores the tokens (B, T) of an HDF5 file: writes logits (B, T, V), logprobs (B, T - 1) of each next token
/// and the scalar loss, -mean(logprobs) in nats. Throws UserError: input for no such dataset, tokens beyond
/// the vocabulary or the context; usage for one file as both.
void score(const StoredModel& model, const std::filesystem::path& tokens, const std::filesystem::path& out,
           Backend backend, int threads);

}  // namespace fovea
