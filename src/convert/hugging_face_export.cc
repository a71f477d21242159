#include "convert/hugging_face_export.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "convert/head_layout.h"
#include "convert/hugging_face_config.h"
#include "convert/json_keys.h"
#include "convert/safetensors_writer.h"
#include "core/build_info.h"
#include "core/error.h"
#include "core/json.h"
#include "model/families.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kTypes[] = {"llama", "mistral",  "qwen2", "qwen3",
                                  "gpt2",  "gpt_neox", "gemma", "gemma2"};

std::string type_of_family(const std::string& family) { return family == "neox" ? "gpt_neox" : family; }

// What of the first shape the second does not have, by the names of configuration keys; empty where both
// compute the same.
std::string difference(const DecoderShape& a, const DecoderShape& b) {
  std::string names;
  const auto expect = [&](bool same, const char* name) {
    if (!same) names += (names.empty() ? "" : ", ") + std::string(name);
  };
  expect(a.vocab == b.vocab && a.layers == b.layers && a.width == b.width && a.q_heads == b.q_heads &&
             a.head_dim == b.head_dim && a.hidden == b.hidden && a.context == b.context,
         "sizes");
  expect(a.kv_heads == b.kv_heads, "model.kv_heads");
  expect(a.norm == b.norm, "model.norm");
  expect(a.qk_norm == b.qk_norm, "model.qk_norm");
  expect(a.post_norms == b.post_norms, "norms after attention and MLP");
  expect(a.activation == b.activation, "model.activation");
  expect(a.gated == b.gated, "model.gated");
  expect(a.position == b.position, "model.position");
  expect(a.position != PositionKind::rope || a.rope == b.rope, "model.rope_*");
  expect(a.qkv_bias == b.qkv_bias, "model.qkv_bias");
  expect(a.out_bias == b.out_bias, "model.out_bias");
  expect(a.mlp_bias == b.mlp_bias, "model.mlp_bias");
  expect(a.tie_embeddings == b.tie_embeddings, "model.tie_embeddings");
  expect(a.parallel_residual == b.parallel_residual, "model.parallel_residual");
  expect(a.embedding_scale == b.embedding_scale, "model.embedding_scale");
  expect(a.attention_scale == b.attention_scale, "model.attention_scale");
  expect(a.attention_softcap == b.attention_softcap, "model.attention_softcap");
  expect(a.logit_softcap == b.logit_softcap, "model.logit_softcap");
  expect(a.masks == b.masks, "model.attention");
  return names;
}

/// The configuration of what is written, and the KV heads that it has words for.
struct Plan {
  std::string model_type;
  Json json;
  ModelConfig config;  // of the folder's model
};

// Types that know no head but one of width / q_heads, for queries, keys and values.
bool has_whole_heads(const std::string& model_type) {
  return model_type == "gpt2" || model_type == "gpt_neox";
}

// As many in each layer, and in some types as many as query heads.
std::optional<ModelConfig> with_heads_of(const std::string& model_type, const StoredModel& model) {
  const DecoderShape shape = model.shape();
  const int64 heads = has_whole_heads(model_type)
                          ? shape.q_heads
                          : *std::max_element(shape.kv_heads.begin(), shape.kv_heads.end());
  for (const int64 layer_heads : shape.kv_heads)
    if (heads % layer_heads != 0) return std::nullopt;
  ModelConfig config = model.config;
  config.kv_heads = heads;
  config.kv_heads_per_layer.clear();
  config.rope_interleaved = false;  // rows are moved instead
  return config;
}

// What a config.json lacks of the model.
std::string lack_of(const Json& json, const ModelConfig& config, int64 vocabulary) {
  const DecoderShape shape = decoder_shape(config, vocabulary);
  if (has_whole_heads(json.value("model_type", "")) && shape.head_dim * shape.q_heads != shape.width)
    return "model.head_dim";
  try {
    const HuggingFaceConfig read = read_hugging_face_config(json, "config.json");
    return difference(shape, decoder_shape(read.model, read.vocabulary));
  } catch (const UserError& error) {
    return error.what();
  }
}

// The source's own config.json where it says it all, with another number of KV heads if need be.
std::optional<Plan> plan_of_source(const StoredModel& model) {
  const auto found = model.companions.find("config.json");
  if (found == model.companions.end()) return std::nullopt;
  Json json = parse_json(found->second, "config.json");
  const std::string type = JsonKeys("config.json", json).string("model_type");
  const std::optional<ModelConfig> config = with_heads_of(type, model);
  if (!config) return std::nullopt;
  if (lack_of(json, *config, model.vocabulary).empty()) return Plan{type, json, *config};
  json["num_key_value_heads"] = config->kv_heads;
  if (lack_of(json, *config, model.vocabulary).empty()) return Plan{type, json, *config};
  return std::nullopt;
}

// The configuration of that type; returns what it lacks.
std::string fill(Plan& plan, int64 vocabulary) {
  try {
    plan.json = write_hugging_face_config(plan.model_type, plan.config, vocabulary);
  } catch (const UserError& error) {  // a RoPE that transformers does not know
    return error.what();
  }
  return lack_of(plan.json, plan.config, vocabulary);
}

Plan plan_export(const StoredModel& model) {
  if (std::optional<Plan> plan = plan_of_source(model)) return *plan;
  std::vector<std::string> types{type_of_family(model.config.family)};
  for (const char* type : kTypes)
    if (type != types.front()) types.emplace_back(type);
  std::string lack;
  for (const std::string& type : types) {
    const std::optional<ModelConfig> config = with_heads_of(type, model);
    if (!config) continue;
    Plan plan{type, {}, *config};
    const std::string missing = fill(plan, model.vocabulary);
    if (missing.empty()) return plan;
    if (lack.empty()) lack = missing;
  }
  fail_usage(
      "no Hugging Face family has what this model is made of: a {} lacks its {}; name a file that ends in "
      ".safetensors to keep it as fovea's own",
      types.front(), lack.empty() ? "KV heads per layer" : lack);
}

struct Exported {
  const ParameterLayout& layout;
  const ParameterSource& parameters;
  int64 head_dim;
  std::vector<FileTensor> tensors;

  TensorSpec spec_of(const FileTensor& tensor) const {
    return {tensor.name, parameters.dtype(tensor.parts.front()), tensor.shape};
  }
};

// The tensor's data, put together from its parts.
Buffer assembled(const Exported& model, const FileTensor& tensor) {
  const TensorSpec spec = model.spec_of(tensor);
  Buffer data(spec.dtype, {spec.elements()});
  for (size_t part = 0; part < tensor.parts.size(); ++part) {
    const Buffer values(spec.dtype, {model.layout[tensor.parts[part]].elements()});
    model.parameters.read(tensor.parts[part], values);
    scatter(placement_of(tensor, part, model.layout, model.head_dim), values.data(), size_of(spec.dtype),
            data.data());
  }
  return data;
}

void append(SafeTensorsWriter& writer, const Exported& model, const FileTensor& tensor) {
  const int64 elements = model.spec_of(tensor).elements();
  if (tensor.arrangement == Arrangement::same)
    return model.parameters.show(tensor.parts.front(), elements,
                                 [&](std::span<const std::byte> data) { writer.append(data); });
  const Buffer data = assembled(model, tensor);
  writer.append({data.data(), static_cast<size_t>(data.view().bytes())});
}

// Tensors in the model's order, as many to a file as fit.
std::vector<std::vector<FileTensor>> shards_of(const Exported& model, int64 shard_bytes) {
  std::vector<std::vector<FileTensor>> shards(1);
  int64 bytes = 0;
  for (const FileTensor& tensor : model.tensors) {
    const int64 more = model.spec_of(tensor).bytes();
    if (!shards.back().empty() && bytes + more > shard_bytes) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(tensor);
    bytes += more;
  }
  return shards;
}

void write_shard(const fs::path& path, const Exported& model, const std::vector<FileTensor>& tensors) {
  std::vector<TensorSpec> specs;
  std::map<std::string, const FileTensor*> by_name;
  for (const FileTensor& tensor : tensors) {
    specs.push_back(model.spec_of(tensor));
    by_name[tensor.name] = &tensor;
  }
  // transformers asks for "format".
  SafeTensorsWriter writer(
      path, std::move(specs),
      {{"format", "pt"}, {"writer", fmt::format("fovea {} {}", build_info().version, build_info().commit)}});
  for (const TensorSpec& spec : writer.tensors()) append(writer, model, *by_name.at(spec.name));
  writer.commit();
}

// Returns how many files there are.
size_t write_weights(const fs::path& folder, const Exported& model, int64 shard_bytes) {
  const std::vector<std::vector<FileTensor>> shards = shards_of(model, shard_bytes);
  if (shards.size() == 1) {
    write_shard(folder / "model.safetensors", model, shards[0]);
    return 1;
  }
  Json map = Json::object();
  int64 total = 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    write_shard(folder / name, model, shards[i]);
    for (const FileTensor& tensor : shards[i]) {
      map[tensor.name] = name;
      total += model.spec_of(tensor).bytes();
    }
  }
  const Json index = {{"metadata", {{"total_size", total}}}, {"weight_map", map}};
  write_file_atomically(folder / "model.safetensors.index.json", index.dump(2) + "\n");
  return shards.size();
}

const char* torch_name(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return "bfloat16";
    case DType::f16:
      return "float16";
    case DType::f64:
      return "float64";
    default:
      return "float32";
  }
}

// Under the name that the file has for it.
void set_dtype(Json& json, DType dtype) {
  json[json.contains("dtype") ? "dtype" : "torch_dtype"] = torch_name(dtype);
}

}  // namespace

std::string write_hugging_face(const fs::path& folder, const StoredModel& model,
                               const ExportOptions& options) {
  AtomicFolder target(folder, options.existing);
  Plan plan = plan_export(model);
  const DecoderShape from = model.shape(), shape = decoder_shape(plan.config, model.vocabulary);
  const ParameterLayout layout = layout_of(shape);
  ParameterSource parameters = model.parameters;
  if (from.rope.interleaved) parameters = pairs_to_halves(model.layout, std::move(parameters), from);
  const bool repeats = from.kv_heads != shape.kv_heads;
  if (repeats) parameters = repeat_kv_heads(model.layout, std::move(parameters), layout, shape.head_dim);
  const Exported exported{layout, parameters, shape.head_dim,
                          hugging_face_tensors(plan.model_type, layout, model.bare_names)};
  const size_t files = write_weights(target.place(), exported, options.shard_bytes);
  for (const auto& [name, content] : model.companions)
    if (name != "config.json") write_file_atomically(target.place() / name, content);
  set_dtype(plan.json, parameters.dtype(0));
  write_file_atomically(target.place() / "config.json", plan.json.dump(2) + "\n");
  target.commit();
  std::string text = fmt::format("{}: {}, {} parameters, {}, {} file{}\n", folder.string(), plan.model_type,
                                 layout.count(), name_of(parameters.dtype(0)), files, files == 1 ? "" : "s");
  if (repeats)
    text += fmt::format(
        "{} has no words for these KV heads: each is written as often as its query heads read it, {} in a "
        "layer\n",
        plan.model_type, shape.uniform_kv_heads());
  return text;
}

}  // namespace fovea
