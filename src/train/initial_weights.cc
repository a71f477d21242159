#include "train/initial_weights.h"

#include "convert/gqa.h"
#include "convert/hugging_face.h"
#include "convert/safetensors.h"
#include "model/describe.h"
#include "model/families.h"
#include "train/calibration.h"
#include "train/checkpoint.h"
#include "train/plan.h"

namespace fovea {
namespace {

// The KV heads of each layer of the model in the file, by the rows of its key projections.
std::vector<int64> kv_heads_of(const SafeTensors& file, const DecoderShape& shape) {
  std::vector<int64> heads;
  for (int64 layer = 0; layer < shape.layers; ++layer) {
    const std::string name = fmt::format("blocks.{}.attention.k.weight", layer);
    const SafeTensors::Tensor& k = file.tensor(name);
    if (k.shape.size() != 2 || k.shape[0] % shape.head_dim != 0 || k.shape[0] == 0)
      fail_input("{}: {} is not made of heads of {}", file.path().string(), name, shape.head_dim);
    heads.push_back(k.shape[0] / shape.head_dim);
  }
  return heads;
}

// Of the folder's model and ours nothing may differ but the number of KV heads.
void expect_same_parameters(const std::string& from, const ParameterLayout& theirs,
                            const ParameterLayout& ours) {
  for (const Parameter& p : ours.parameters()) {
    const ParameterId id = theirs.find(p.name);
    if (id == kNoParameter)
      fail_usage(
          "init.from = \"{}\" has no {}, which [model] asks for: leave out of [model] what that folder says",
          from, p.name);
    if (theirs[id].rows != p.rows || theirs[id].columns != p.columns)
      fail_usage(
          "init.from = \"{}\": {} is ({}, {}) there and ({}, {}) by [model]: leave out of [model] what that "
          "folder "
          "says",
          from, p.name, theirs[id].rows, theirs[id].columns, p.rows, p.columns);
  }
  for (const Parameter& p : theirs.parameters())
    if (ours.find(p.name) == kNoParameter)
      fail_usage(
          "init.from = \"{}\" has {}, for which [model] has no place: leave out of [model] what that folder "
          "says",
          from, p.name);
}

/// What init.from holds: the model there, and its parameters.
struct Initial {
  Decoder decoder;  ///< as ours, with the KV heads that are there
  ParameterSource parameters;
};

Initial open_initial(const Config& config, const Decoder& target) {
  const std::string& from = config.init.from;
  const int64 length = step_shape(config).length;  // not the context that a folder claims
  Config source = config;
  if (is_hugging_face_model(from)) {
    StoredModel model = open_hugging_face(from);
    source.model.kv_heads_per_layer = model.shape().kv_heads;
    Decoder decoder(decoder_shape(source.model, target.shape().vocab), length);
    expect_same_parameters(from, model.layout, decoder.layout());
    return {std::move(decoder), std::move(model.parameters)};
  }
  const std::filesystem::path file = initial_weights_file(from);
  source.model.kv_heads_per_layer = kv_heads_of(SafeTensors(file), target.shape());
  Decoder decoder(decoder_shape(source.model, target.shape().vocab), length);
  ParameterSource parameters = weights_in(file, decoder.layout());
  return {std::move(decoder), std::move(parameters)};
}

// The whole of it, for conversions that look at more than a layer.
std::vector<float> converted(const Config& config, const Initial& source, const Decoder& target,
                             const InitialData& data) {
  const StepShape step = step_shape(config);
  const auto seed = static_cast<uint64>(config.train.seed);
  const Calibration calibration =
      calibration_on({data.dataset, seed, data.first_sample, config.init.calibration, step.length},
                     source.decoder.shape(), target.shape(), {data.backend, data.threads});
  return convert_kv_heads(source.decoder, read_all(source.parameters, source.decoder.layout()), target,
                          {conversion_named(config.init.conversion), seed, &calibration, data.threads});
}

}  // namespace

std::filesystem::path initial_weights_file(const std::string& from) {
  std::error_code error;
  return std::filesystem::is_directory(from, error) ? std::filesystem::path(from) / kModelFileName
                                                    : std::filesystem::path(from);
}

void load_initial_weights(const Config& config, const Decoder& decoder, const View& weights,
                          const InitialData& data) {
  const Initial source = open_initial(config, decoder);
  const DecoderShape& shape = source.decoder.shape();
  if (shape.kv_heads == decoder.shape().kv_heads)
    return read_all(source.parameters, decoder.layout(), weights);
  if (config.init.conversion == "none")
    fail_usage("{} has {} KV heads, the model {}: set init.conversion to mean or another of its words",
               config.init.from, kv_heads_text(shape), kv_heads_text(decoder.shape()));
  const Conversion how = conversion_named(config.init.conversion);
  const auto seed = static_cast<uint64>(config.train.seed);
  if (how.is_local())
    return read_all(
        convert_kv_heads(source.decoder, source.parameters, decoder, {how, seed, nullptr, data.threads}),
        decoder.layout(), weights);
  const std::vector<float> parameters = converted(config, source, decoder, data);
  read_all(source_of(decoder.layout(), parameters), decoder.layout(), weights);
}

}  // namespace fovea
