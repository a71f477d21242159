#pragma once

#include <filesystem>

#include "convert/stored_model.h"

namespace fovea {

/// Whether the file is one of open_flat_checkpoint()'s, by its first bytes or, for what has no mark, its
/// name.
bool is_flat_checkpoint(const std::filesystem::path& path);

/// Opens a checkpoint of Karpathy's small trainers: a header of int32, then all weights one after another.
///   llm.c      GPT-2 (magic 20240326), version 3 (f32) or 5 (bf16); rows of its table beyond the vocabulary
///   are
///              padding and left out
///   llama2.c   Llama (magic "ak42"), version 1 (f32), or the older file without a magic, called .bin; RoPE
///   turns
///              the pairs (2i, 2i + 1)
/// All little-endian. Throws UserError (input): sizes out of range, or a file that is not as long as they
/// say.
StoredModel open_flat_checkpoint(const std::filesystem::path& path);

}  // namespace fovea
