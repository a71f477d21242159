#include "train/initial_weights.h"

#include "convert/gqa.h"
#include "convert/safetensors.h"
#include "model/families.h"
#include "train/checkpoint.h"

namespace fovea {
namespace {

// The KV heads of the model in the file, by the rows of its first key projection.
int64 kv_heads_of(const SafeTensors& file, int64 head_dim) {
  const SafeTensors::Tensor& k = file.tensor("blocks.0.attention.k.weight");
  if (k.shape.size() != 2 || k.shape[0] % head_dim != 0 || k.shape[0] == 0)
    fail_input("{}: blocks.0.attention.k.weight is not made of heads of {}", file.path().string(), head_dim);
  return k.shape[0] / head_dim;
}

}  // namespace

void load_initial_weights(const Config& config, const Decoder& decoder, const View& weights) {
  const SafeTensors file(config.init.from);
  const DecoderShape& shape = decoder.shape();
  const int64 source_heads = kv_heads_of(file, shape.head_dim);
  const bool converts = config.init.conversion != "none";
  if (source_heads != shape.kv_heads && !converts)
    fail_usage("{} has {} KV heads, the model {}: set init.conversion to mean, first or random",
               config.init.from, source_heads, shape.kv_heads);

  Config source_config = config;
  source_config.model.kv_heads = source_heads;
  const Decoder source(decoder_shape(source_config.model, shape.vocab));
  std::vector<float> parameters = read_weights(file, source.layout());
  if (source_heads != shape.kv_heads)
    parameters = convert_kv_heads(
        source.layout(), parameters, decoder.layout(),
        {gqa_init_named(config.init.conversion), shape.head_dim, static_cast<uint64>(config.train.seed)});
  for (int64 i = 0; i < decoder.layout().elements(); ++i)
    store(weights, {i}, parameters[static_cast<size_t>(i)]);
}

}  // namespace fovea
