#pragma once

#include <filesystem>

#include "config/config.h"
#include "data/dataset.h"
#include "model/decoder.h"

namespace fovea {

/// The file of weights that init.from names where it is no Hugging Face folder: itself, or a run's
/// model.safetensors.
std::filesystem::path initial_weights_file(const std::string& from);

/// What a conversion may look at: init.calibration training sequences from first_sample on, which are those
/// that the run reads first.
struct InitialData {
  const Dataset& dataset;
  int64 first_sample = 0;
  Backend backend = Backend::cpu;
  int threads = 1;
};

/// Writes the weights that another run left, or those of a Hugging Face folder (InitConfig), into `weights`
/// (flat, f32 | f64, in the decoder's layout), with its KV heads converted where the file has more of them in
/// a layer; where it has as many, nothing is. No bit depends on the threads. Throws UserError: input (a
/// damaged file, another model's), usage (a conversion is needed and none is named, or there are fewer KV
/// heads than the model wants).
void load_initial_weights(const Config& config, const Decoder& decoder, const View& weights,
                          const InitialData& data);

}  // namespace fovea
