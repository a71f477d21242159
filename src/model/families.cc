#include "model/families.h"

#include <cmath>

#include "core/error.h"
#include "model/rope.h"

namespace fovea {
namespace {

DecoderShape sizes(const ModelConfig& config) {
  DecoderShape shape;
  shape.family = config.family;
  shape.layers = config.layers;
  shape.width = config.width;
  shape.q_heads = config.q_heads;
  shape.kv_heads = config.kv_heads_per_layer;
  if (shape.kv_heads.empty())
    shape.kv_heads.assign(static_cast<size_t>(config.layers),
                          config.kv_heads ? config.kv_heads : config.q_heads);
  shape.head_dim = config.head_dim ? config.head_dim : config.width / config.q_heads;
  shape.hidden = config.hidden;
  shape.context = config.context;
  shape.attention_scale = 1 / std::sqrt(static_cast<float>(shape.head_dim));
  shape.dropout = static_cast<float>(config.dropout);
  shape.init_std = config.init_std;
  return shape;
}

// Two matrices up and one down hold as many weights as a plain MLP of four times the width.
int64 gated_hidden(const ModelConfig& config) {
  return config.hidden ? config.hidden : 8 * config.width / 3 / 32 * 32;
}
int64 plain_hidden(const ModelConfig& config) { return config.hidden ? config.hidden : 4 * config.width; }

Mask mask_of(std::string_view kind, int64 window) {
  if (kind == "full") return causal_mask();
  if (kind != "window") fail_usage("model.attention: unknown kind \"{}\": choose full or window", kind);
  if (window <= 0)
    fail_usage("model.attention names window layers: set model.sliding_window to the keys that they see");
  return sliding_window_mask(window);
}

std::vector<Mask> masks_of(const ModelConfig& config, const std::vector<std::string>& family_pattern) {
  const std::vector<std::string>& pattern = config.attention.empty() ? family_pattern : config.attention;
  std::vector<Mask> masks;
  for (int64 layer = 0; layer < config.layers; ++layer)
    masks.push_back(mask_of(pattern[static_cast<size_t>(layer) % pattern.size()], config.sliding_window));
  return masks;
}

std::vector<std::string> full_or_window(const ModelConfig& config) {
  return {config.sliding_window > 0 ? "window" : "full"};
}

bool choose(const std::string& value, bool of_family) {
  return value == "family" ? of_family : value == "yes";
}

ActivationKind activation_named(const std::string& name, ActivationKind of_family) {
  if (name == "silu") return ActivationKind::silu;
  if (name == "relu") return ActivationKind::relu;
  if (name == "gelu") return ActivationKind::gelu;
  if (name == "gelu_tanh") return ActivationKind::gelu_tanh;
  return of_family;
}

void check_kv_heads(const DecoderShape& shape) {
  if (static_cast<int64>(shape.kv_heads.size()) != shape.layers)
    fail_usage("model.kv_heads_per_layer names {} layers, model.layers is {}: name each layer once",
               shape.kv_heads.size(), shape.layers);
  for (const int64 heads : shape.kv_heads)
    if (heads < 1 || shape.q_heads % heads != 0)
      fail_usage("model.kv_heads{} = {} does not divide model.q_heads = {}",
                 shape.uniform_kv_heads() ? "" : "_per_layer", heads, shape.q_heads);
}

// What the configuration says itself stands over what the family says.
void override_family(DecoderShape& shape, const ModelConfig& config) {
  const bool was_gated = shape.gated;
  shape.gated = choose(config.gated, shape.gated);
  if (shape.gated != was_gated) shape.hidden = shape.gated ? gated_hidden(config) : plain_hidden(config);
  shape.activation = activation_named(config.activation, shape.activation);
  if (config.norm != "family")
    shape.norm.kind = config.norm == "rms_norm" ? NormKind::rms_norm : NormKind::layer_norm;
  if (shape.norm.kind == NormKind::layer_norm) shape.norm.weight_offset = 0;  // an RMSNorm's alone
  if (config.norm_epsilon >= 0) shape.norm.epsilon = static_cast<float>(config.norm_epsilon);
  if (config.position != "family")
    shape.position = config.position == "rope"      ? PositionKind::rope
                     : config.position == "learned" ? PositionKind::learned
                                                    : PositionKind::none;
  shape.qkv_bias = choose(config.qkv_bias, shape.qkv_bias);
  shape.out_bias = choose(config.out_bias, shape.out_bias);
  shape.mlp_bias = choose(config.mlp_bias, shape.mlp_bias);
  shape.tie_embeddings = choose(config.tie_embeddings, shape.tie_embeddings);
  shape.qk_norm = choose(config.qk_norm, shape.qk_norm);
  shape.parallel_residual = choose(config.parallel_residual, shape.parallel_residual);
  if (config.embedding_scale != "family")
    shape.embedding_scale = config.embedding_scale == "yes" ? std::sqrt(static_cast<float>(shape.width)) : 1;
  if (config.attention_scale > 0) shape.attention_scale = static_cast<float>(config.attention_scale);
  if (config.attention_softcap >= 0) shape.attention_softcap = static_cast<float>(config.attention_softcap);
  if (config.logit_softcap >= 0) shape.logit_softcap = static_cast<float>(config.logit_softcap);
}

}  // namespace

DecoderShape llama(const ModelConfig& config) {
  DecoderShape shape = sizes(config);
  shape.norm = {NormKind::rms_norm, 1e-5f, 0};
  shape.hidden = gated_hidden(config);
  shape.tie_embeddings = false;
  shape.rope = rope_shape(config, shape.head_dim, 1);
  shape.masks = masks_of(config, full_or_window(config));
  return shape;
}

DecoderShape mistral(const ModelConfig& config) {
  DecoderShape shape = llama(config);
  shape.masks = masks_of(config, {"window"});
  return shape;
}

DecoderShape qwen2(const ModelConfig& config) {
  DecoderShape shape = llama(config);
  shape.norm.epsilon = 1e-6f;
  shape.qkv_bias = true;
  shape.tie_embeddings = true;
  return shape;
}

DecoderShape qwen3(const ModelConfig& config) {
  DecoderShape shape = llama(config);
  shape.norm.epsilon = 1e-6f;
  shape.qk_norm = true;
  shape.tie_embeddings = true;
  return shape;
}

DecoderShape gpt2(const ModelConfig& config) {
  DecoderShape shape = sizes(config);
  shape.norm = {NormKind::layer_norm, 1e-5f, 0};
  shape.gated = false;
  shape.activation = ActivationKind::gelu_tanh;
  shape.hidden = plain_hidden(config);
  shape.position = PositionKind::learned;
  shape.qkv_bias = shape.out_bias = shape.mlp_bias = true;
  shape.tie_embeddings = true;
  shape.rope = rope_shape(config, shape.head_dim, 1);
  shape.masks = masks_of(config, full_or_window(config));
  return shape;
}

DecoderShape neox(const ModelConfig& config) {
  DecoderShape shape = gpt2(config);
  shape.activation = ActivationKind::gelu;
  shape.position = PositionKind::rope;
  shape.rope = rope_shape(config, shape.head_dim, 0.25);
  shape.parallel_residual = true;
  shape.tie_embeddings = false;
  return shape;
}

DecoderShape gemma(const ModelConfig& config) {
  DecoderShape shape = llama(config);
  shape.norm = {NormKind::rms_norm, 1e-6f, 1};
  shape.activation = ActivationKind::gelu_tanh;
  shape.tie_embeddings = true;
  shape.embedding_scale = std::sqrt(static_cast<float>(shape.width));
  return shape;
}

DecoderShape gemma2(const ModelConfig& config) {
  DecoderShape shape = gemma(config);
  shape.masks = masks_of(config, config.sliding_window > 0 ? std::vector<std::string>{"window", "full"}
                                                           : std::vector<std::string>{"full"});
  shape.post_norms = true;
  shape.attention_softcap = 50;
  shape.logit_softcap = 30;
  return shape;
}

DecoderShape decoder_shape(const ModelConfig& config, int64 vocab) {
  struct Family {
    std::string_view name;
    DecoderShape (*assemble)(const ModelConfig&);
  };
  static constexpr Family kFamilies[] = {{"llama", llama}, {"mistral", mistral}, {"qwen2", qwen2},
                                         {"qwen3", qwen3}, {"gpt2", gpt2},       {"neox", neox},
                                         {"gemma", gemma}, {"gemma2", gemma2}};
  for (const Family& family : kFamilies) {
    if (config.family != family.name) continue;
    DecoderShape shape = family.assemble(config);
    if (config.vocab > 0 && vocab > config.vocab)
      fail_usage("model.vocab = {}: the data have {} tokens: set it to as many, or 0", config.vocab, vocab);
    shape.vocab = config.vocab > 0 ? config.vocab : vocab;
    override_family(shape, config);
    check_kv_heads(shape);
    if (shape.hidden <= 0)
      fail_usage("model.width = {} is too narrow for the family's MLP: set model.hidden", shape.width);
    return shape;
  }
  fail_usage(
      "model.family: unknown family \"{}\": choose llama, mistral, qwen2, qwen3, gpt2, neox, gemma or gemma2",
      config.family);
}

}  // namespace fovea
