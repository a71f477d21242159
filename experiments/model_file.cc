#include "experiments/model_file.h"

#include "config/load.h"
#include "convert/gqa.h"
#include "convert/hugging_face.h"
#include "convert/safetensors.h"
#include "core/hash.h"
#include "model/families.h"
#include "train/checkpoint.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

// Of a model that no run made: what it holds.
std::string identity_of(const std::vector<float>& parameters) {
  return hash128(std::as_bytes(std::span(parameters)));
}

ModelFile read_own(const fs::path& path) {
  const SafeTensors file(path);
  const CheckpointInfo info = checkpoint_info(file);
  ModelFile model;
  const Config config = config_from_text(info.config, path.string() + ": config");
  model.config = config.model;
  model.vocabulary = info.vocabulary;
  if (model.vocabulary < 1 || model.vocabulary > (int64{1} << 24))
    fail_input("{}: a vocabulary of {} tokens", path.string(), model.vocabulary);
  model.parameters = read_weights(file, Decoder(model.shape()).layout());
  if (info.identity != identity_of(model.parameters)) model.run = config;
  return model;
}

}  // namespace

DecoderShape ModelFile::shape() const { return decoder_shape(config, vocabulary); }

ModelFile read_model(const fs::path& path) {
  if (fs::is_directory(path)) {
    if (is_hugging_face_model(path)) {
      ImportedModel imported = import_hugging_face(path);
      return {imported.config, imported.vocabulary, std::move(imported.parameters), {}};
    }
    if (!fs::exists(path / kModelFileName))
      fail_input("{}: neither a finished run ({}) nor a Hugging Face model (config.json)", path.string(),
                 kModelFileName);
    return read_own(path / kModelFileName);
  }
  return read_own(path);
}

void convert_model(const fs::path& source, const fs::path& destination, const ConvertOptions& options) {
  ModelFile model = read_model(source);
  const Decoder from(model.shape());
  if (options.kv_heads > 0 && options.kv_heads != from.shape().uniform_kv_heads()) {
    for (const int64 kv_heads : from.shape().kv_heads)
      if (kv_heads % options.kv_heads != 0)
        fail_usage("--kv-heads {} does not divide the model's {}", options.kv_heads, kv_heads);
    model.config.kv_heads = options.kv_heads;
    model.config.kv_heads_per_layer.clear();
    model.parameters = convert_kv_heads(from, model.parameters, Decoder(model.shape()),
                                        {conversion_named(options.init), static_cast<uint64>(options.seed)});
  }
  const Decoder to(model.shape());
  Config config;
  config.model = model.config;
  const View weights(model.parameters.data(), DType::f32, {to.layout().elements()});
  write_model(destination, to.layout(), weights,
              {0, identity_of(model.parameters), toml_text(config), model.vocabulary});
}

}  // namespace fovea
