#pragma once

#include <filesystem>
#include <string>

#include "convert/stored_model.h"
#include "core/file.h"

namespace fovea {

struct ExportOptions {
  int64 shard_bytes = int64{5} << 30;  ///< of a file, at most, unless one tensor takes more
  AtomicFolder::Existing existing = AtomicFolder::Existing::refuse;
};

/// Writes the model as a Hugging Face folder: config.json, model.safetensors (shards with an index where it
/// is larger than a file may be), and what its source held beside the weights (tokenizer). The family is the
/// model's own, or another whose config.json can say the same; each tensor has the dtype that it is stored in
/// (of fused ones, that of the first part), and is held alone. KV heads that a family has no words for
/// (fewer in gpt2 and gpt_neox, another number in each layer) are written as often as it takes: the model
/// computes the same.
///
/// Returns lines that say what was written. Throws UserError: usage where `folder` is there already, or no
/// family can say what the model is.
std::string write_hugging_face(const std::filesystem::path& folder, const StoredModel& model,
                               const ExportOptions& options);

}  // namespace fovea
