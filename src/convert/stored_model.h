#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "convert/parameter_source.h"
#include "convert/tensor_files.h"
#include "convert/tensor_table.h"
#include "model/shape.h"

namespace fovea {

/// A pretrained model whose weights stay in the files that are mapped.
struct StoredModel {
  ModelConfig config;               ///< decoder_shape(config, vocabulary) is its shape
  int64 vocabulary = 0;             ///< tokens
  ParameterLayout layout;           ///< of that decoder
  std::vector<FileTensor> tensors;  ///< as the files name them
  ParameterSource parameters;
  /// What a Hugging Face folder holds beside the weights, by name: config.json, tokenizer.json ...
  std::map<std::string, std::string> companions;
  bool bare_names = false;    ///< of its tensors there (hugging_face_tensors)
  std::optional<Config> run;  ///< the configuration of the run that left it; none: no run did

  DecoderShape shape() const;
};

/// Of what is in memory, flat in the layout's order; `parameters` outlives the result.
StoredModel model_of(const ModelConfig& config, int64 vocabulary, std::span<const float> parameters);

/// The same weights, without tables for as many positions as an unchecked file claims: for decoders whose
/// layout alone is of interest.
DecoderShape without_tables(DecoderShape shape);
ParameterLayout layout_of(const DecoderShape& shape);

/// Reads the parameters of `layout` out of files that hold `tensors`; it keeps the files open. Throws
/// UserError (input) where one of them is missing, of another shape, or of integers.
ParameterSource stored_parameters(const std::shared_ptr<const TensorFiles>& files,
                                  const std::vector<FileTensor>& tensors, const ParameterLayout& layout,
                                  int64 head_dim);

}  // namespace fovea
