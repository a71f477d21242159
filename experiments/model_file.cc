#include "experiments/model_file.h"

#include "config/bytes.h"
#include "config/load.h"
#include "convert/flat_checkpoint.h"
#include "convert/gqa.h"
#include "convert/hugging_face.h"
#include "convert/hugging_face_export.h"
#include "core/error.h"
#include "model/families.h"
#include "tokenizer/tokenizer.h"
#include "train/checkpoint.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

// Whether that is a tokenizer of such a model: by now the path may lead to any other file.
bool is_tokenizer_for(const StoredModel& model, const std::string& path) {
  try {
    return open_tokenizer(path).vocabulary() <= model.vocabulary;
  } catch (const UserError&) {
    return false;
  }
}

// What a run's text was read with belongs to its model, as long as it is where the run found it.
void take_tokenizer_along(const std::string& path, StoredModel& model) {
  std::error_code error;
  if (path == Tokenizer().name() || !fs::is_regular_file(path, error) || !is_tokenizer_for(model, path))
    return;
  model.companions[path.ends_with(".model") ? "tokenizer.model" : "tokenizer.json"] = read_file(path);
}

StoredModel open_own(const fs::path& path) {
  const SafeTensors file(path);
  const CheckpointInfo info = checkpoint_info(file);
  const Config config = config_from_text(info.config, path.string() + ": config");
  StoredModel model;
  model.config = config.model;
  model.vocabulary = info.vocabulary;
  if (model.vocabulary < 1 || model.vocabulary > (int64{1} << 24))
    fail_input("{}: a vocabulary of {} tokens", path.string(), model.vocabulary);
  model.layout = layout_of(model.shape());
  model.tensors = own_tensors(model.layout);
  model.parameters = weights_in(path, model.layout);
  read_origin(file, model);
  if (info.converted) return model;
  model.run = config;
  take_tokenizer_along(config.data.tokenizer, model);
  return model;
}

// Parameters as they are, stored in another dtype.
ParameterSource stored_as(DType dtype, ParameterSource source) {
  return {[dtype](ParameterId) { return dtype; }, std::move(source.read)};
}

void write_own(const fs::path& path, const StoredModel& model) {
  Config config;
  config.model = model.config;
  config.train.tokens = 0;  // it trains nothing, whatever its context
  write_converted_model(path, model, {0, "", toml_text(config), model.vocabulary});
}

bool is_folder_format(const fs::path& destination, const std::string& format) {
  if (format != "by the name") return format == "hugging_face";
  return destination.extension() != ".safetensors";
}

}  // namespace

StoredModel open_model(const fs::path& path) {
  if (!fs::is_directory(path)) return is_flat_checkpoint(path) ? open_flat_checkpoint(path) : open_own(path);
  if (is_hugging_face_model(path)) return open_hugging_face(path);
  if (!fs::exists(path / kModelFileName))
    fail_input("{}: neither a finished run ({}) nor a Hugging Face model (config.json)", path.string(),
               kModelFileName);
  return open_own(path / kModelFileName);
}

std::string convert_model(const fs::path& source, const fs::path& destination,
                          const ConvertOptions& options) {
  StoredModel model = open_model(source);
  const Decoder from(without_tables(model.shape()));
  std::optional<Decoder> to;  // outlives the parameters that are made for it
  if (options.kv_heads > 0 && options.kv_heads != from.shape().uniform_kv_heads()) {
    for (const int64 kv_heads : from.shape().kv_heads)
      if (kv_heads % options.kv_heads != 0)
        fail_usage("--kv-heads {} does not divide the model's {}", options.kv_heads, kv_heads);
    model.config.kv_heads = options.kv_heads;
    model.config.kv_heads_per_layer.clear();
    to.emplace(without_tables(model.shape()));
    model.layout = to->layout();
    model.parameters = convert_kv_heads(
        from, std::move(model.parameters), *to,
        {conversion_named(options.init), static_cast<uint64>(options.seed), nullptr, options.threads});
  }
  if (options.dtype != "stored")
    model.parameters = stored_as(dtype_named(options.dtype), std::move(model.parameters));
  if (!is_folder_format(destination, options.format)) {
    write_own(destination, model);
    return fmt::format("{}\n", destination.string());
  }
  const std::optional<int64> shard_bytes = bytes_from_text(options.shard_size);
  if (!shard_bytes)
    fail_usage("--shard-size {}: must be a size as \"5 GiB\": a number above 0 and B, KiB, MiB or GiB",
               options.shard_size);
  return write_hugging_face(destination, model, {*shard_bytes});
}

}  // namespace fovea
