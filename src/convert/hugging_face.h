#pragma once

#include <filesystem>
#include <string_view>

#include "convert/stored_model.h"

namespace fovea {

/// Whether the folder looks like a Hugging Face model: it has a config.json.
bool is_hugging_face_model(const std::filesystem::path& folder);

/// Opens a folder with config.json and model.safetensors (or its shards and their index) of a llama, mistral,
/// qwen2, qwen3, gpt2, gpt_neox, gemma or gemma2 model as transformers saves them, in the spelling of its
/// versions 4 and 5. Weights may be of any floating-point dtype. Throws UserError, one line that names the
/// file and what it says: input for anything missing, contradictory, or beyond what the families here can
/// compute (a tensor that nobody would use); unavailable for kinds of models that are not there yet.
StoredModel open_hugging_face(const std::filesystem::path& folder);

/// Whether a file of such a folder is one of those that StoredModel::companions holds.
bool is_companion(std::string_view file_name);

}  // namespace fovea
