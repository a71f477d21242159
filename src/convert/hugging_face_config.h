#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "config/config.h"

namespace fovea {

/// What config.json says.
struct HuggingFaceConfig {
  std::string model_type;  ///< "llama", as the file spells it
  ModelConfig model;
  int64 vocabulary = 0;
};

/// Throws UserError: one line that names the file and the key; input, or unavailable for kinds of models that
/// are not there yet.
HuggingFaceConfig read_hugging_face_config(const std::filesystem::path& path);
/// The same of its content; `name` says which file it is.
HuggingFaceConfig read_hugging_face_config(const nlohmann::json& json, const std::string& name);

/// A config.json of this type, in the spelling that all versions of transformers read. It says what the type
/// has words for: whether that is all, tells reading it back.
nlohmann::json write_hugging_face_config(std::string_view model_type, const ModelConfig& config,
                                         int64 vocabulary);

}  // namespace fovea
