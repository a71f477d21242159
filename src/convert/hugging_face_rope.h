#pragma once

#include <nlohmann/json.hpp>

#include "config/config.h"
#include "convert/json_keys.h"

namespace fovea {

/// Fills model.rope_* from config.json; model has its family, sizes and context. Both spellings are read:
/// transformers 5's rope_parameters {rope_type, rope_theta, ...}, one for all layers or one per layer type,
/// and version 4's rope_theta beside rope_scaling {rope_type or type, ...}; defaults are those of
/// transformers 5.24. Throws UserError (input) naming what cannot be read or computed: other types, layer
/// types that differ.
void read_rope(const JsonKeys& keys, ModelConfig& model);

/// The members of a config.json that say the same, in the spelling of transformers 4, which version 5 reads
/// too. read_rope() gives the same values back; static NTK, which transformers does not know by name, comes
/// back as the base that it is. Throws UserError (usage) for what transformers cannot be told.
nlohmann::json write_rope(const ModelConfig& model);

}  // namespace fovea
