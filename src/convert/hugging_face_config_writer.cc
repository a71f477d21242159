#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "convert/hugging_face_config.h"
#include "convert/hugging_face_rope.h"
#include "model/families.h"

namespace fovea {
namespace {

using Json = nlohmann::json;

// The shortest decimal that is this float: 1e-05, not 9.999999747378752e-06.
double decimal(float x) { return std::stod(fmt::format("{}", x)); }

const char* activation_name(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::silu:
      return "silu";
    case ActivationKind::relu:
      return "relu";
    case ActivationKind::gelu:
      return "gelu";
    case ActivationKind::gelu_tanh:
      return "gelu_new";
  }
  return "";
}

int64 widest_window(const DecoderShape& shape) {
  int64 window = 0;
  for (const Mask& mask : shape.masks) window = std::max(window, mask.left + 1);
  return window;
}

Json layer_types(const DecoderShape& shape) {
  Json types = Json::array();
  for (const Mask& mask : shape.masks)
    types.push_back(mask.left >= 0 ? "sliding_attention" : "full_attention");
  return types;
}

Json null_or(double value) { return value > 0 ? Json(value) : Json(nullptr); }

void write_sizes(Json& json, const DecoderShape& shape) {
  json["num_hidden_layers"] = shape.layers;
  json["hidden_size"] = shape.width;
  json["num_attention_heads"] = shape.q_heads;
  json["intermediate_size"] = shape.hidden;
  json["max_position_embeddings"] = shape.context;
  json["hidden_act"] = activation_name(shape.activation);
}

void write_llama_like(Json& json, const DecoderShape& shape) {
  write_sizes(json, shape);
  json["num_key_value_heads"] = shape.uniform_kv_heads();
  json["head_dim"] = shape.head_dim;
  json["rms_norm_eps"] = decimal(shape.norm.epsilon);
  json["attention_bias"] = shape.qkv_bias && shape.out_bias;
  json["attention_dropout"] = 0.0;
}

void write_qwen_windows(Json& json, const DecoderShape& shape) {
  const int64 window = widest_window(shape);
  const auto first =
      std::find_if(shape.masks.begin(), shape.masks.end(), [](const Mask& mask) { return mask.left >= 0; });
  json["use_sliding_window"] = window > 0;
  json["sliding_window"] = window > 0 ? Json(window) : Json(nullptr);
  json["max_window_layers"] = window > 0 ? first - shape.masks.begin() : shape.layers;
  json["layer_types"] = layer_types(shape);
}

void write_gemma(Json& json, const DecoderShape& shape) {
  const bool tanh = shape.activation == ActivationKind::gelu_tanh;
  json["hidden_act"] = json["hidden_activation"] =
      tanh ? "gelu_pytorch_tanh" : activation_name(shape.activation);
}

void write_gemma2(Json& json, const DecoderShape& shape) {
  write_gemma(json, shape);
  json["sliding_window"] = widest_window(shape) > 0 ? widest_window(shape) : shape.context;
  json["layer_types"] = layer_types(shape);
  json["attn_logit_softcapping"] = null_or(decimal(shape.attention_softcap));
  json["final_logit_softcapping"] = null_or(decimal(shape.logit_softcap));
  const double scale = static_cast<double>(shape.attention_scale);
  const double scalar = 1 / (scale * scale), whole = std::round(scalar);
  json["query_pre_attn_scalar"] = 1 / std::sqrt(static_cast<float>(whole)) == shape.attention_scale
                                      ? Json(static_cast<int64>(whole))
                                      : Json(scalar);
}

void write_gpt2(Json& json, const DecoderShape& shape) {
  json["n_layer"] = shape.layers;
  json["n_embd"] = shape.width;
  json["n_head"] = shape.q_heads;
  json["n_inner"] = shape.hidden;
  json["n_positions"] = json["n_ctx"] = shape.context;
  json["layer_norm_epsilon"] = decimal(shape.norm.epsilon);
  json["activation_function"] = activation_name(shape.activation);
  json["scale_attn_weights"] = shape.attention_scale != 1;
  json["attn_pdrop"] = json["embd_pdrop"] = json["resid_pdrop"] = 0.0;
}

void write_neox(Json& json, const DecoderShape& shape) {
  write_sizes(json, shape);
  json["layer_norm_eps"] = decimal(shape.norm.epsilon);
  json["attention_bias"] = shape.qkv_bias && shape.out_bias;
  json["use_parallel_residual"] = shape.parallel_residual;
  json["attention_dropout"] = json["hidden_dropout"] = 0.0;
}

std::string architecture_of(std::string_view model_type) {
  struct Named {
    std::string_view type;
    const char* architecture;
  };
  static constexpr Named kNamed[] = {{"llama", "LlamaForCausalLM"}, {"mistral", "MistralForCausalLM"},
                                     {"qwen2", "Qwen2ForCausalLM"}, {"qwen3", "Qwen3ForCausalLM"},
                                     {"gemma", "GemmaForCausalLM"}, {"gemma2", "Gemma2ForCausalLM"},
                                     {"gpt2", "GPT2LMHeadModel"},   {"gpt_neox", "GPTNeoXForCausalLM"}};
  const auto* found = std::find_if(std::begin(kNamed), std::end(kNamed),
                                   [&](const Named& named) { return named.type == model_type; });
  return found == std::end(kNamed) ? "" : found->architecture;
}

}  // namespace

nlohmann::json write_hugging_face_config(std::string_view model_type, const ModelConfig& config,
                                         int64 vocabulary) {
  const DecoderShape shape = decoder_shape(config, vocabulary);
  Json json = {{"model_type", model_type},
               {"architectures", Json::array({architecture_of(model_type)})},
               {"vocab_size", vocabulary},
               {"tie_word_embeddings", shape.tie_embeddings},
               {"initializer_range", config.init_std},
               {"use_cache", true}};
  if (model_type == "gpt2") {
    write_gpt2(json, shape);
    return json;
  }
  if (model_type == "gpt_neox") {
    write_neox(json, shape);
    json.update(write_rope(config));
    return json;
  }
  write_llama_like(json, shape);
  json.update(write_rope(config));
  if (model_type == "llama") json["mlp_bias"] = shape.mlp_bias;
  if (model_type == "mistral")
    json["sliding_window"] = widest_window(shape) > 0 ? Json(widest_window(shape)) : Json(nullptr);
  if (model_type.starts_with("qwen")) write_qwen_windows(json, shape);
  if (model_type == "gemma") write_gemma(json, shape);
  if (model_type == "gemma2") write_gemma2(json, shape);
  return json;
}

}  // namespace fovea
