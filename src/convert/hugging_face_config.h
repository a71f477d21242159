#pragma once

#include <filesystem>
#include <string>

#include "config/config.h"

namespace fovea {

/// What config.json says.
struct HuggingFaceConfig {
  std::string model_type;  ///< "llama", as the file spells it
  ModelConfig model;
  int64 vocabulary = 0;
  float query_scale = 1;  ///< to be multiplied into the queries' weights: Gemma 2's own scale of the scores
};

/// Throws UserError (input): one line that names the file and the key.
HuggingFaceConfig read_hugging_face_config(const std::filesystem::path& path);

}  // namespace fovea
