#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "convert/stored_model.h"

namespace fovea {

/// Opens a run's directory, its model.safetensors (or a checkpoint), a Hugging Face folder, or a checkpoint
/// of llm.c or llama2.c. Throws UserError (input).
StoredModel open_model(const std::filesystem::path& path);

struct ConvertOptions {
  int64 kv_heads = 0;  ///< 0: as many as there are
  std::string init = "mean";
  int threads = 1;
  int64 seed = 0;  ///< of random draws
  std::string format =
      "by the name";                 ///< or fovea, hugging_face; a name that ends in .safetensors is fovea's
  std::string dtype = "stored";      ///< or f32, bf16, f16
  std::string shard_size = "5 GiB";  ///< of a Hugging Face folder's files, at most
};

/// Writes any such model as fovea's model.safetensors or as a Hugging Face folder, its KV heads converted
/// where the options say so, a parameter at a time: weights are mapped, one layer's attention is held.
/// Returns lines that say what was written. Throws UserError; what it was to write is then not there.
std::string convert_model(const std::filesystem::path& source, const std::filesystem::path& destination,
                          const ConvertOptions& options);

}  // namespace fovea
