#pragma once

#include <filesystem>

#include "config/config.h"
#include "model/decoder.h"

namespace fovea {

/// Writes the weights that another run left (InitConfig) into `weights` (flat, f32 | f64, in the decoder's
/// layout), with its KV heads converted where the file has more of them; where it has as many, nothing is.
/// Throws UserError: input (a damaged file, another model's), usage (a conversion is needed and none is
/// named, or there are fewer KV heads than the model wants).
void load_initial_weights(const Config& config, const Decoder& decoder, const View& weights);

}  // namespace fovea
