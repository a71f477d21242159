#include "train/initial_weights.h"

#include "convert/gqa.h"
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

std::vector<float> converted(const Config& config, const Decoder& source,
                             const std::vector<float>& parameters, const Decoder& target,
                             const InitialData& data) {
  const StepShape step = step_shape(config);
  const auto seed = static_cast<uint64>(config.train.seed);
  const Calibration calibration =
      calibration_on({data.dataset, seed, data.first_sample, config.init.calibration, step.length},
                     source.shape(), target.shape(), {data.backend, data.threads});
  return convert_kv_heads(source, parameters, target,
                          {conversion_named(config.init.conversion), seed, &calibration});
}

}  // namespace

void load_initial_weights(const Config& config, const Decoder& decoder, const View& weights,
                          const InitialData& data) {
  const SafeTensors file(config.init.from);
  Config source_config = config;
  source_config.model.kv_heads_per_layer = kv_heads_of(file, decoder.shape());
  const Decoder source(decoder_shape(source_config.model, decoder.shape().vocab));
  const bool differ = source.shape().kv_heads != decoder.shape().kv_heads;
  if (differ && config.init.conversion == "none")
    fail_usage("{} has {} KV heads, the model {}: set init.conversion to mean or another of its words",
               config.init.from, kv_heads_text(source.shape()), kv_heads_text(decoder.shape()));
  std::vector<float> parameters = read_weights(file, source.layout());
  if (differ) parameters = converted(config, source, parameters, decoder, data);
  for (int64 i = 0; i < decoder.layout().elements(); ++i)
    store(weights, {i}, parameters[static_cast<size_t>(i)]);
}

}  // namespace fovea
