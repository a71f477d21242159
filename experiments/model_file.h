#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/decoder.h"

namespace fovea {

/// A model with its weights, wherever they came from.
struct ModelFile {
  ModelConfig config;
  int64 vocabulary = 0;
  std::vector<float> parameters;   ///< in the order of Decoder(shape()).layout(), gaps zero
  std::optional<Config> run = {};  ///< the configuration of the run that left it; none: no run did
  DecoderShape shape() const;
};

/// Reads a run's directory, its model.safetensors (or a checkpoint), or a Hugging Face folder. Throws
/// UserError (input).
ModelFile read_model(const std::filesystem::path& path);

struct ConvertOptions {
  int64 kv_heads = 0;  ///< 0: as many as there are
  std::string init = "mean";
  int64 seed = 0;  ///< of random draws
};

/// Writes any such model as fovea's model.safetensors, its KV heads converted where the options say so.
void convert_model(const std::filesystem::path& source, const std::filesystem::path& destination,
                   const ConvertOptions& options);

}  // namespace fovea
