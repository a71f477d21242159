#pragma once

#include <optional>
#include <string>

#include "config/load.h"

namespace fovea {

/// What load_config() asks of init.from: the model of a Hugging Face folder or of a run, and its tokenizer.
/// Nothing for a bare file of tensors. Throws UserError (input).
std::optional<InitialModel> read_initial_model(const std::string& path);

/// Names the weights there by what they are: 32 hex digits. Throws UserError (input).
std::string hash_of_initial_weights(const std::string& path);

}  // namespace fovea
