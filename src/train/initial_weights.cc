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

// A tensor that this model has no place for is another model's; a checkpoint's moments are left alone.
void refuse_others(const SafeTensors& file, const ParameterLayout& layout) {
  for (const auto& [name, tensor] : file.tensors())
    if (layout.find(name) == kNoParameter && !name.starts_with("moment1/") && !name.starts_with("moment2/"))
      fail_input("{}: holds {}, for which this model has no place: it is another model's",
                 file.path().string(), name);
}

std::string text_of(const std::vector<int64>& shape) {
  std::string text;
  for (const int64 size : shape) text += fmt::format("{}{}", text.empty() ? "" : ", ", size);
  return text;
}

void refuse_other_shape(const SafeTensors& file, const Parameter& parameter) {
  std::vector<int64> shape{parameter.rows, parameter.columns};
  if (parameter.vector) shape = {parameter.columns};
  const std::vector<int64>& found = file.tensor(parameter.name).shape;
  if (found != shape)
    fail_input("{}: tensor {} is ({}), this model wants ({})", file.path().string(), parameter.name,
               text_of(found), text_of(shape));
}

}  // namespace

void load_initial_weights(const Config& config, const Decoder& decoder, const View& weights) {
  const SafeTensors file(config.init.from);
  if (file.metadata().contains("checksum")) verify_checkpoint(file);
  const DecoderShape& shape = decoder.shape();
  const int64 source_heads = kv_heads_of(file, shape.head_dim);
  const bool converts = config.init.conversion != "none";
  if (source_heads != shape.kv_heads && !converts)
    fail_usage("{} has {} KV heads, the model {}: set init.conversion to mean, first or random",
               config.init.from, source_heads, shape.kv_heads);

  Config source_config = config;
  source_config.model.kv_heads = source_heads;
  const Decoder source(decoder_shape(source_config.model, shape.vocab));
  refuse_others(file, source.layout());
  Buffer flat(DType::f32, {source.layout().elements()});
  for (ParameterId id = 0; id < static_cast<ParameterId>(source.layout().parameters().size()); ++id) {
    const Parameter& parameter = source.layout()[id];
    refuse_other_shape(file, parameter);
    const std::vector<float> values = file.read_f32(parameter.name);
    std::copy(values.begin(), values.end(), flat.view().data<float>() + parameter.offset);
  }
  const std::span<const float> parameters(flat.view().data<float>(),
                                          static_cast<size_t>(source.layout().elements()));
  std::vector<float> result(parameters.begin(), parameters.end());
  if (source_heads != shape.kv_heads)
    result = convert_kv_heads(
        source.layout(), parameters, decoder.layout(),
        {gqa_init_named(config.init.conversion), shape.head_dim, static_cast<uint64>(config.train.seed)});
  for (int64 i = 0; i < decoder.layout().elements(); ++i) store(weights, {i}, result[static_cast<size_t>(i)]);
}

}  // namespace fovea
