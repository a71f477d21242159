#include "convert/hugging_face_rope.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/json.h"
#include "model/families.h"
#include "model/rope.h"

namespace fovea {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kTypes = "default, linear, dynamic, yarn, longrope, llama3 and proportional";

bool is_neox(const ModelConfig& model) { return model.family == "neox"; }

std::string type_of(const JsonKeys& rope) {
  const std::string type = rope.string("rope_type", rope.string("type", "default"));
  if (type == "su") return "longrope";  // its first name, in Phi-3's files
  for (const char* known : {"default", "linear", "dynamic", "yarn", "longrope", "llama3", "proportional"})
    if (type == known) return type;
  rope.fail("rope_type \"{}\" is not supported: {} are", printable(type), kTypes);
}

// beta_fast and others in which 0 is as good as absent.
double number_or(const JsonKeys& rope, const char* key, double otherwise) {
  return rope.is_zero(key) ? otherwise : rope.number(key, otherwise);
}

// `original`: original_max_position_embeddings of the top level, which stands over the one inside; 0: none.
void read_type(const JsonKeys& rope, ModelConfig& model, int64 original) {
  const std::string& type = model.rope_type = type_of(rope);
  if (type == "default") return;
  if (type == "linear" || type == "dynamic" || type == "llama3") model.rope_factor = rope.number("factor");
  if (type == "yarn" || type == "longrope" || type == "proportional")
    model.rope_factor = rope.number("factor", -1);
  if (type == "yarn" || type == "longrope" || type == "llama3") {
    const int64 inside =
        rope.has("original_max_position_embeddings") ? rope.integer("original_max_position_embeddings") : 0;
    model.rope_original_context = original > 0 ? original : inside;
  }
  if (type == "yarn" || type == "longrope") model.rope_attention_factor = rope.number("attention_factor", -1);
  if (type == "yarn") {
    model.rope_beta_fast = number_or(rope, "beta_fast", 32);
    model.rope_beta_slow = number_or(rope, "beta_slow", 1);
    model.rope_truncate = !rope.is_null("truncate") && rope.boolean("truncate", true);
    model.rope_mscale = number_or(rope, "mscale", 0);
    model.rope_mscale_all_dim = number_or(rope, "mscale_all_dim", 0);
  }
  if (type == "longrope") {
    model.rope_short_factors = rope.numbers("short_factor");
    model.rope_long_factors = rope.numbers("long_factor");
  }
  if (type == "llama3") {
    model.rope_low_freq_factor = rope.number("low_freq_factor");
    model.rope_high_freq_factor = rope.number("high_freq_factor");
  }
}

// One set of parameters; what it leaves out stands at the top level.
void read_parameters(const JsonKeys& rope, const JsonKeys& keys, ModelConfig& model, int64 original) {
  read_type(rope, model, original);
  const bool neox = is_neox(model);
  model.rope_theta = rope.number("rope_theta", keys.number(neox ? "rotary_emb_base" : "rope_theta", 10000));
  model.rope_fraction = rope.number(
      "partial_rotary_factor", keys.number(neox ? "rotary_pct" : "partial_rotary_factor", neox ? 0.25 : 1));
}

void expect_computable(const JsonKeys& keys, const ModelConfig& model) {
  const std::string& type = model.rope_type;
  const bool whole_heads = !is_neox(model);
  if (model.rope_fraction > 1) keys.fail("{} of a head cannot be rotated: at most 1", model.rope_fraction);
  if (whole_heads && model.rope_fraction < 1 && type != "proportional")
    keys.fail("partial_rotary_factor = {} is not supported: transformers rotates whole heads in such models",
              model.rope_fraction);
  const auto rotated = static_cast<int64>(model.rope_fraction * static_cast<double>(model.head_dim));
  if (rotated % 2 != 0 || (type == "proportional" && model.head_dim % 2 != 0))
    keys.fail("{} elements of a head cannot be rotated in pairs",
              rotated % 2 != 0 ? rotated : model.head_dim);
  if (rotated < 2) keys.fail("RoPE has nothing to rotate in a head of {} elements", model.head_dim);
  if (type == "dynamic" && rotated < 4) keys.fail("rope_type dynamic cannot rotate 2 elements");
  if (type == "yarn" && model.rope_theta <= 1) keys.fail("rope_type yarn needs a rope_theta above 1");
  if (type == "yarn" && model.rope_factor < 0 && model.rope_original_context == 0)
    keys.fail("rope_type yarn needs a factor");
  if (type == "yarn" && model.rope_beta_fast <= model.rope_beta_slow)
    keys.fail("beta_fast = {} must be above beta_slow = {}", model.rope_beta_fast, model.rope_beta_slow);
  if (type == "llama3" && model.rope_high_freq_factor <= model.rope_low_freq_factor)
    keys.fail("high_freq_factor = {} must be above low_freq_factor = {}", model.rope_high_freq_factor,
              model.rope_low_freq_factor);
  if (type != "longrope") return;
  for (const auto& [name, factors] :
       {std::pair("short_factor", &model.rope_short_factors), {"long_factor", &model.rope_long_factors}})
    if (static_cast<int64>(factors->size()) != rotated / 2)
      keys.fail("{} has {} numbers for the {} planes of a head", name, factors->size(), rotated / 2);
  if (model.rope_original_context == 1) keys.fail("original_max_position_embeddings = 1: its logarithm is 0");
}

// What transformers computes whole heads of, whatever the file says, cannot be said in parts.
void expect_writable(const ModelConfig& model, const RopeShape& rope, int64 head_dim) {
  const bool proportional = rope.scaling.type == RopeType::proportional;
  if (is_neox(model) ? proportional : !proportional && rope.dims != head_dim)
    fail_usage("model.rope_{} cannot be said in a Hugging Face {} model",
               proportional ? "type = \"proportional\"" : fmt::format("fraction = {}", model.rope_fraction),
               model.family);
  if (rope.scaling.type == RopeType::dynamic && rope.scaling.original_context != model.context)
    fail_usage(
        "model.rope_original_context = {} cannot be said in a Hugging Face model: dynamic RoPE goes by "
        "model.context there",
        rope.scaling.original_context);
}

Json scaling_of(const ModelConfig& model, const RopeScaling& scaling) {
  Json json{{"rope_type", std::string(name_of(scaling.type))}};
  const RopeType type = scaling.type;
  // Files of yarn need a factor; the others may leave it out as a configuration does.
  if (model.rope_factor > 0 || type == RopeType::yarn) json["factor"] = scaling.factor;
  if (type == RopeType::proportional)
    json["partial_rotary_factor"] = model.rope_fraction < 0 ? 1 : model.rope_fraction;
  if (type == RopeType::llama3 || (model.rope_original_context > 0 && type != RopeType::dynamic))
    json["original_max_position_embeddings"] = scaling.original_context;
  if (type == RopeType::llama3) {
    json["low_freq_factor"] = scaling.low_freq_factor;
    json["high_freq_factor"] = scaling.high_freq_factor;
  }
  if (type != RopeType::yarn && type != RopeType::longrope) return json;
  if (model.rope_attention_factor > 0) json["attention_factor"] = model.rope_attention_factor;
  if (type == RopeType::longrope) {
    json["short_factor"] = scaling.short_factors;
    json["long_factor"] = scaling.long_factors;
    return json;
  }
  json["beta_fast"] = scaling.beta_fast;
  json["beta_slow"] = scaling.beta_slow;
  json["truncate"] = scaling.truncate;
  if (model.rope_mscale > 0) json["mscale"] = model.rope_mscale;
  if (model.rope_mscale_all_dim > 0) json["mscale_all_dim"] = model.rope_mscale_all_dim;
  return json;
}

// So that the product with head_dim, rounded down, is dims again.
double fraction_for(int64 dims, int64 head_dim) {
  const auto d = static_cast<double>(dims), width = static_cast<double>(head_dim);
  return d / width * width < d ? std::nextafter(d / width, 1.0) : d / width;
}

}  // namespace

void read_rope(const JsonKeys& keys, ModelConfig& model) {
  // As transformers 5: what version 4 wrote stands over what it writes itself.
  const JsonKeys old = keys.object("rope_scaling");
  const JsonKeys rope = old.empty() ? keys.object("rope_parameters") : old;
  const std::vector<std::string> layer_types = rope.objects();
  if (layer_types.empty()) {
    const char* key = "original_max_position_embeddings";
    read_parameters(rope, keys, model, keys.has(key) ? keys.integer(key) : 0);
  } else {
    const ModelConfig before = model;
    for (const std::string& layer_type : layer_types) {
      ModelConfig read = before;
      read_parameters(rope.object(layer_type.c_str()), keys, read, 0);
      if (layer_type != layer_types.front() && read != model)
        keys.fail("RoPE differs between the layer types {} and {}: not supported",
                  printable(layer_types.front()), printable(layer_type));
      model = std::move(read);
    }
  }
  expect_computable(keys, model);
}

Json write_rope(const ModelConfig& model) {
  const DecoderShape shape = decoder_shape(model, 1);
  const RopeShape& rope = shape.rope;
  expect_writable(model, rope, shape.head_dim);
  Json json;
  json[is_neox(model) ? "rotary_emb_base" : "rope_theta"] = rope.theta;
  if (is_neox(model)) json["rotary_pct"] = fraction_for(rope.dims, shape.head_dim);
  json["rope_scaling"] = rope.scaling.type == RopeType::plain ? Json() : scaling_of(model, rope.scaling);
  // Where transformers 4 looks for it.
  if (rope.scaling.type == RopeType::longrope && model.rope_original_context > 0)
    json["original_max_position_embeddings"] = model.rope_original_context;
  return json;
}

}  // namespace fovea
