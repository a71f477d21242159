#include "convert/hugging_face_config.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "convert/hugging_face_rope.h"
#include "convert/json_keys.h"
#include "core/error.h"
#include "core/json.h"

namespace fovea {
namespace {

std::string yes_no(bool value) { return value ? "yes" : "no"; }

std::string activation_of(const JsonKeys& keys, const std::string& name) {
  if (name == "silu" || name == "swish") return "silu";
  if (name == "relu") return "relu";
  if (name == "gelu") return "gelu";
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") return "gelu_tanh";
  keys.fail(
      "the activation \"{}\" is not known: silu, relu, gelu, gelu_new, gelu_fast and "
      "gelu_pytorch_tanh are",
      printable(name));
}

// Which layers have a window: layer_types names each; before there was such a list, the model type knew.
void read_windows(const JsonKeys& keys, ModelConfig& model, const std::function<bool(int64)>& has_window) {
  std::vector<std::string> kinds;
  if (keys.has("layer_types")) {
    for (const std::string& type : keys.strings("layer_types")) {
      if (type != "full_attention" && type != "sliding_attention")
        keys.fail("layer_types: \"{}\" is not supported: full_attention and sliding_attention are",
                  printable(type));
      kinds.push_back(type == "full_attention" ? "full" : "window");
    }
    if (static_cast<int64>(kinds.size()) != model.layers)
      keys.fail("layer_types names {} layers, num_hidden_layers {}", kinds.size(), model.layers);
  } else {
    for (int64 layer = 0; layer < model.layers; ++layer)
      kinds.push_back(model.sliding_window > 0 && has_window(layer) ? "window" : "full");
  }
  model.attention = std::move(kinds);
  for (const std::string& kind : model.attention)
    if (kind == "window" && model.sliding_window == 0)
      keys.fail("sliding_window is absent, and there are layers with one");
}

void read_sizes(const JsonKeys& keys, ModelConfig& model) {
  model.layers = keys.integer("num_hidden_layers", {}, 1024);
  model.width = keys.integer("hidden_size");
  model.q_heads = keys.integer("num_attention_heads", {}, 1024);
  model.kv_heads = keys.integer("num_key_value_heads", model.q_heads, 1024);
  model.hidden = keys.integer("intermediate_size");
  model.context = keys.integer("max_position_embeddings");
}

void read_head_dim(const JsonKeys& keys, ModelConfig& model, std::optional<int64> otherwise) {
  if (!keys.has("head_dim") && !otherwise && model.width % model.q_heads != 0)
    keys.fail("hidden_size = {} is no multiple of num_attention_heads = {}", model.width, model.q_heads);
  model.head_dim = keys.integer("head_dim", otherwise ? *otherwise : model.width / model.q_heads, 4096);
}

// What llama, mistral, qwen and gemma share.
ModelConfig read_llama_like(const JsonKeys& keys, const std::string& family, std::optional<int64> head_dim,
                            bool tied) {
  ModelConfig model;
  model.family = family;
  read_sizes(keys, model);
  read_head_dim(keys, model, head_dim);
  read_rope(keys, model);
  model.norm_epsilon = keys.number("rms_norm_eps", 1e-6);
  model.activation = activation_of(keys, keys.string("hidden_act", "silu"));
  model.tie_embeddings = yes_no(keys.boolean("tie_word_embeddings", tied));
  const bool bias = keys.boolean("attention_bias", false);
  model.qkv_bias = model.out_bias = yes_no(bias);
  model.mlp_bias = yes_no(keys.boolean("mlp_bias", false));
  model.attention = {"full"};
  return model;
}

void read_llama(const JsonKeys& keys, HuggingFaceConfig& config) {
  config.model = read_llama_like(keys, "llama", {}, false);
}

void read_mistral(const JsonKeys& keys, HuggingFaceConfig& config) {
  config.model = read_llama_like(keys, "mistral", {}, false);
  config.model.sliding_window = keys.is_null("sliding_window") ? 0 : keys.integer("sliding_window", 4096);
  if (config.model.sliding_window > 0) config.model.attention = {"window"};  // whatever layer_types says
}

void read_qwen(const JsonKeys& keys, HuggingFaceConfig& config) {
  ModelConfig& model = config.model;
  const bool qwen2 = config.model_type == "qwen2";
  model = read_llama_like(keys, config.model_type, qwen2 ? std::nullopt : std::optional<int64>(128), false);
  if (qwen2) {
    model.qkv_bias = "yes";
    model.out_bias = "no";
  }
  int64 first = 0;
  if (keys.boolean("use_sliding_window", false)) {
    model.sliding_window = keys.integer("sliding_window", 4096);
    first = keys.is_zero("max_window_layers") ? 0 : keys.integer("max_window_layers", 28);
  }
  read_windows(keys, model, [first](int64 layer) { return layer >= first; });
}

void read_gemma(const JsonKeys& keys, HuggingFaceConfig& config) {
  config.model = read_llama_like(keys, config.model_type, 256, true);
  if (keys.boolean("use_bidirectional_attention", false))
    keys.fail("use_bidirectional_attention is not supported");
  // The first Gemma files say "gelu" and mean the tanh one; hidden_activation came to say so.
  const std::string name = keys.string("hidden_activation", keys.string("hidden_act", "gelu_pytorch_tanh"));
  config.model.activation = activation_of(keys, name == "gelu" ? "gelu_pytorch_tanh" : name);
}

void read_gemma2(const JsonKeys& keys, HuggingFaceConfig& config) {
  read_gemma(keys, config);
  ModelConfig& model = config.model;
  model.sliding_window = keys.integer("sliding_window", 4096);
  read_windows(keys, model, [](int64 layer) { return layer % 2 == 0; });
  const auto softcap = [&](const char* key, double otherwise) {
    return keys.is_null(key) ? 0 : keys.number(key, otherwise);
  };
  model.attention_softcap = softcap("attn_logit_softcapping", 50);
  model.logit_softcap = softcap("final_logit_softcapping", 30);
  const double scalar = keys.number("query_pre_attn_scalar", 256);  // scores are q.k over its root
  if (scalar != static_cast<double>(model.head_dim)) model.attention_scale = 1 / std::sqrt(scalar);
}

void read_gpt2(const JsonKeys& keys, HuggingFaceConfig& config) {
  ModelConfig& model = config.model;
  model.family = "gpt2";
  model.layers = keys.integer("n_layer", {}, 1024);
  model.width = keys.integer("n_embd");
  model.q_heads = model.kv_heads = keys.integer("n_head", {}, 1024);
  if (model.width % model.q_heads != 0)
    keys.fail("n_embd = {} is no multiple of n_head = {}", model.width, model.q_heads);
  model.head_dim = model.width / model.q_heads;
  model.hidden = keys.integer("n_inner", 4 * model.width);
  model.context = keys.integer("n_positions");
  model.norm_epsilon = keys.number("layer_norm_epsilon", 1e-5);
  model.activation = activation_of(keys, keys.string("activation_function", "gelu_new"));
  model.tie_embeddings = yes_no(keys.boolean("tie_word_embeddings", true));
  if (!keys.boolean("scale_attn_weights", true)) model.attention_scale = 1;
  if (keys.boolean("scale_attn_by_inverse_layer_idx", false))
    keys.fail("scale_attn_by_inverse_layer_idx is not supported");
}

void read_neox(const JsonKeys& keys, HuggingFaceConfig& config) {
  ModelConfig& model = config.model;
  model.family = "neox";
  read_sizes(keys, model);
  if (model.kv_heads != model.q_heads)
    keys.fail("num_key_value_heads differs from num_attention_heads: not supported");
  if (keys.has("head_dim")) keys.fail("head_dim is not supported");
  read_head_dim(keys, model, {});
  read_rope(keys, model);
  model.norm_epsilon = keys.number("layer_norm_eps", 1e-5);
  model.activation = activation_of(keys, keys.string("hidden_act", "gelu"));
  model.tie_embeddings = yes_no(keys.boolean("tie_word_embeddings", false));
  model.qkv_bias = model.out_bias = yes_no(keys.boolean("attention_bias", true));
  model.parallel_residual = yes_no(keys.boolean("use_parallel_residual", true));
}

void expect_consistent(const JsonKeys& keys, const ModelConfig& model) {
  if (model.q_heads % model.kv_heads != 0)
    keys.fail("num_key_value_heads = {} does not divide num_attention_heads = {}", model.kv_heads,
              model.q_heads);
}

}  // namespace

HuggingFaceConfig read_hugging_face_config(const std::filesystem::path& path) {
  return read_hugging_face_config(read_json(path), path.string());
}

HuggingFaceConfig read_hugging_face_config(const nlohmann::json& json, const std::string& name) {
  struct Type {
    std::string_view name;
    void (*read)(const JsonKeys&, HuggingFaceConfig&);
  };
  static constexpr Type kTypes[] = {{"llama", read_llama}, {"mistral", read_mistral}, {"qwen2", read_qwen},
                                    {"qwen3", read_qwen},  {"gemma", read_gemma},     {"gemma2", read_gemma2},
                                    {"gpt2", read_gpt2},   {"gpt_neox", read_neox}};
  // Encoders and their like, which are not there yet.
  static constexpr std::string_view kLater[] = {"t5",   "mt5",     "umt5", "vit",
                                                "bart", "whisper", "clip", "siglip"};
  const JsonKeys keys(name, json);
  HuggingFaceConfig config;
  config.model_type = keys.string("model_type");
  if (std::find(std::begin(kLater), std::end(kLater), config.model_type) != std::end(kLater))
    fail_unavailable(
        "{}: model_type {}: encoder-decoder and vision models are not there yet, decoders are: llama, "
        "mistral, "
        "qwen2, qwen3, gemma, gemma2, gpt2 and gpt_neox",
        name, config.model_type);
  config.vocabulary = keys.integer("vocab_size");
  for (const Type& type : kTypes) {
    if (type.name != config.model_type) continue;
    type.read(keys, config);
    expect_consistent(keys, config.model);
    return config;
  }
  keys.fail(
      "model_type \"{}\" is not supported: llama, mistral, qwen2, qwen3, gemma, gemma2, gpt2 and gpt_neox "
      "are",
      printable(config.model_type));
}

}  // namespace fovea
