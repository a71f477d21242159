#pragma once

#include <filesystem>
#include <vector>

#include "config/config.h"

namespace fovea {

/// A pretrained model in this program's own terms.
struct ImportedModel {
  ModelConfig config;             ///< decoder_shape(config, vocabulary) is its shape
  int64 vocabulary = 0;           ///< tokens
  std::vector<float> parameters;  ///< in the order of Decoder(shape).layout(), gaps zero
};

/// Whether the folder looks like a Hugging Face model: it has a config.json.
bool is_hugging_face_model(const std::filesystem::path& folder);

/// Reads config.json and model.safetensors of a llama, mistral, qwen2, qwen3, gpt2, gpt_neox, gemma or gemma2
/// model as transformers saves them, in the spelling of its versions 4 and 5. Weights of any floating-point
/// dtype are widened to f32. Throws UserError (input), one line that names the file and what it says, for
/// anything missing, contradictory, or beyond what the families here can compute (a rope_type that is not
/// known, a tensor that nobody would use).
ImportedModel import_hugging_face(const std::filesystem::path& folder);

}  // namespace fovea
