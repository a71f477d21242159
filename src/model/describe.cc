#include "model/describe.h"

#include <fmt/format.h>

#include <cmath>

#include "model/rope.h"

namespace fovea {
namespace {

std::string norm_text(const NormShape& norm) {
  return fmt::format("{}, epsilon {:g}{}", norm.kind == NormKind::rms_norm ? "RMSNorm" : "LayerNorm",
                     norm.epsilon, norm.weight_offset != 0 ? ", weight 1 + w" : "");
}

const char* activation_text(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::silu:
      return "SiLU";
    case ActivationKind::relu:
      return "ReLU";
    case ActivationKind::gelu:
      return "GELU (exact)";
    case ActivationKind::gelu_tanh:
      return "GELU (tanh)";
  }
  return "";
}

std::string position_text(const DecoderShape& shape) {
  if (shape.position == PositionKind::none) return "none";
  if (shape.position == PositionKind::learned) return fmt::format("learned, {} of them", shape.context);
  const RopeScaling& scaling = shape.rope.scaling;
  std::string scaled;
  if (scaling.type != RopeType::plain)
    scaled = fmt::format(", {} by {:g}", name_of(scaling.type), scaling.factor);
  if (scaling.original_context > 0) scaled += fmt::format(" from {} positions", scaling.original_context);
  return fmt::format("RoPE{}, theta {:g}, {} of {} dimensions, {}", scaled, shape.rope.theta,
                     2 * shape.rope.planes, shape.head_dim,
                     shape.rope.interleaved ? "interleaved" : "half-split");
}

std::string layers_text(const DecoderShape& shape) {
  int64 windows = 0;
  for (const Mask& mask : shape.masks) windows += mask.left >= 0;
  if (windows == 0) return fmt::format("{}, all with full attention", shape.layers);
  return fmt::format("{}, {} of them with a window", shape.layers, windows);
}

std::string or_none(std::string list) { return list.empty() ? "none" : list.substr(2); }

}  // namespace

std::string kv_heads_text(const DecoderShape& shape) {
  if (shape.uniform_kv_heads()) return std::to_string(shape.uniform_kv_heads());
  std::string text;
  for (const int64 heads : shape.kv_heads) text += fmt::format("{}{}", text.empty() ? "" : "/", heads);
  return text;
}

std::string describe(const DecoderShape& shape) {
  std::string text, biases, extras;
  const auto line = [&](const char* what, const std::string& value) {
    text += fmt::format("  {:<29}  {}\n", what, value);
  };
  const auto add = [](std::string& list, bool there, const char* name) {
    if (there) list += fmt::format(", {}", name);
  };
  add(biases, shape.qkv_bias, "q, k, v");
  add(biases, shape.out_bias, "attention out");
  add(biases, shape.mlp_bias, "MLP");
  add(extras, shape.qk_norm, "QK-norm");
  add(extras, shape.post_norms, "post-norms");
  add(extras, shape.parallel_residual, "parallel residual");
  add(extras, shape.embedding_scale != 1, "scaled embeddings");
  if (shape.attention_scale != 1 / std::sqrt(static_cast<float>(shape.head_dim)))
    extras += fmt::format(", attention scale {:g}", shape.attention_scale);
  if (shape.attention_softcap > 0) extras += fmt::format(", attention softcap {:g}", shape.attention_softcap);
  if (shape.logit_softcap > 0) extras += fmt::format(", logit softcap {:g}", shape.logit_softcap);
  line("layers", layers_text(shape));
  line("heads", fmt::format("{} query and {} KV heads of {}, width {}", shape.q_heads, kv_heads_text(shape),
                            shape.head_dim, shape.width));
  line("MLP", fmt::format("{}{}, {} wide", activation_text(shape.activation), shape.gated ? ", gated" : "",
                          shape.hidden));
  line("norm", norm_text(shape.norm));
  line("positions", position_text(shape));
  line("embeddings", shape.tie_embeddings ? "tied to the head" : "apart from the head");
  line("biases", or_none(biases));
  line("besides", or_none(extras));
  return text;
}

}  // namespace fovea
